"""SupervisorDriver: what must never stand in a program file, and what is refused."""

from __future__ import annotations

import configparser
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from steersman.api.process import ProcessTemplate
from steersman.drivers.model import Facts, Generation, Layout, ProcessUnits, Rendered
from steersman.drivers.supervisor import SupervisorDriver
from steersman.drivers.unitfile import CannotRender
from steersman.hand import launch

LAYOUT = Layout("/srv/s", "/run/s", "/srv/s/supervisor.d", "/srv/s/caddy.d", "")
ODD = ["serve", "a ;b", "50%(here)s", '"quoted"', "$HOME # no comment"]


def render(user: str = "", **changes: object) -> Rendered:
    template = ProcessTemplate.model_validate({"command": ODD, "port": "http"} | changes)
    process = ProcessUnits("web", template, "socket", (1, 2), ("/srv/s/apps/shop/env/8",))
    generation = Generation("shop", 8, "8-abc", user, "c0ffee", "shop.test", (process,))
    return SupervisorDriver(LAYOUT, Facts()).render(generation)


def programs(rendered: Rendered) -> configparser.RawConfigParser:
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"))
    for file in (*rendered.unit_files, *rendered.boot_files):
        if file.path.endswith(".conf"):
            parser.read_string(file.data.decode())
    return parser


def test_each_unit_is_a_program_of_its_name() -> None:
    rendered = render()
    stem = "steersman-shop.web.g8"
    assert set(programs(rendered).sections()) == {
        f"fcgi-program:{stem}.socket",
        f"program:{stem}@1.service",
        f"program:{stem}@2.service",
        "program:steersman-shop.boot",
    }
    (target,) = rendered.processes
    assert target.units == (f"{stem}.socket", f"{stem}@1.service", f"{stem}@2.service")
    assert {file.path.rpartition("/")[0] for file in rendered.unit_files} == {LAYOUT.units}


def test_a_command_stands_in_json_where_nothing_has_a_meaning() -> None:
    rendered = render()
    texts = [f.data.decode() for f in rendered.unit_files if f.path.endswith(".conf")]
    assert not any(word in text for text in texts for word in ODD)
    (spec,) = [json.loads(f.data) for f in rendered.unit_files if f.path.endswith("g8.json")]
    assert spec["argv"] == ODD


def test_a_celery_worker_is_run_by_a_file_that_is_there() -> None:
    rendered = render(command="celery -A shop worker", port=None)
    (spec,) = [json.loads(f.data) for f in rendered.unit_files if f.path.endswith("g8.json")]
    runner = f"{LAYOUT.units}/steersman-shop.g8.celery.py"
    assert spec["argv"][:2] == ["python", runner]
    assert [f.owner for f in rendered.unit_files if f.path == runner] == [""]


def test_each_instance_is_told_which_it_is(tmp_path: Path) -> None:
    env = {"PATH": "/usr/bin:/bin"}
    spec: dict[str, Any] = {
        "way": "none",
        "argv": ["echo", "$STEER_INSTANCE"],
        "env": env,
        "env_files": [],
    }
    spec |= {"own": f"{tmp_path}/own", "user": "", "umask": 0o27, "files": None, "cwd": "/"}
    (tmp_path / "spec.json").write_text(json.dumps(spec))
    argv = [sys.executable, launch.__file__, "run", f"{tmp_path}/spec.json", "2"]
    done = subprocess.run(argv, capture_output=True, text=True, check=True)
    assert done.stdout == "2\n"


def test_the_main_process_alone_is_asked_to_stop() -> None:
    options = programs(render(stop={"signal": "QUIT", "timeout": "90s"}))
    instance = options["program:steersman-shop.web.g8@1.service"]
    assert instance["stopsignal"] == "QUIT"
    assert instance["stopasgroup"] == "false"
    assert instance["killasgroup"] == "true"
    assert int(instance["stopwaitsecs"]) > 90
    assert instance["autostart"] == "false"
    assert options["fcgi-program:steersman-shop.web.g8.socket"]["stopsignal"] == "TERM"


def test_files_belong_to_root_only_where_there_is_a_root() -> None:
    assert {file.owner for file in render().unit_files} == {""}
    assert {file.owner for file in render(user="app-shop").unit_files} == {"root:root"}


@pytest.mark.parametrize("limit", [{"memory": "512M"}, {"cpu": 0.5}, {"tasks": 64}])
def test_a_limit_that_nobody_would_keep_is_refused(limit: dict[str, object]) -> None:
    with pytest.raises(CannotRender, match=f"limit on {next(iter(limit))}.*systemd"):
        render(limits=limit)


def test_what_a_boot_starts_is_what_was_rendered() -> None:
    rendered = render()
    (spec,) = [json.loads(f.data) for f in rendered.boot_files if f.path.endswith(".json")]
    assert spec["units"] == list(rendered.processes[0].units)
    assert spec["links"] == {
        "/run/s/shop/serving": "/srv/s/apps/shop/releases/8-abc",
        "/run/s/shop/web.sock": "web-g8.sock",
    }
    driver = SupervisorDriver(LAYOUT, Facts())
    assert {file.path for file in rendered.boot_files} == set(driver.boot_paths("shop"))
