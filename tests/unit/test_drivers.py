"""What the drivers write, against files read by a person and by the real programs."""

from __future__ import annotations

import shlex
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from laws.fake_host import FakeHost
from laws.test_planning import FACTS, HOST, app_of, wanted
from steersman.api.job import Job
from steersman.api.process import Process
from steersman.api.routes import Route
from steersman.control.target import app_target
from steersman.drivers.hosts import layout_of
from steersman.drivers.jobs import JobHost, render_jobs
from steersman.drivers.nginx import NginxDriver
from steersman.drivers.servers import (
    CELERY_NODE,
    NoWayToListen,
    OneInstanceOnly,
    command_of,
    way_of,
)
from steersman.drivers.unitfile import CannotRender, env_file, environment, exec_words, render

GOLDEN = Path(__file__).parent.parent / "golden" / "drivers"

UWSGI_STOP = "--die-on-term --hook-master-start unix_signal:15 gracefully_kill_them_all"
ROUTES = (
    {"host": "shop.example.com", "process": "web", "clientMaxBodySize": "25M", "readTimeout": "2m"},
    {"host": "shop.example.com", "path": "/static/", "directory": "static"},
    {"host": "*.shop.example.com", "process": "web"},
)


def check_golden(name: str, data: bytes) -> None:
    path = GOLDEN / name
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
        pytest.fail(f"{name} was not there; it is written now: read it, then run again")
    assert data.decode() == path.read_text()


def files_of(command: str, **process: Any) -> dict[str, bytes]:
    web = {"command": command, "port": "http", "count": 1, "stop": {"timeout": "45s"}} | process
    app = app_of(processes={"web": web}, routes=[], config={"env": {"GREETING": "hi"}})
    target = app_target(wanted(8, app), HOST, FACTS, FakeHost().seen())
    files = (*target.unit_files, *target.boot_files)
    return {file.path.rpartition("/")[2]: file.data for file in files}


@pytest.mark.parametrize(
    ("name", "command"),
    [
        ("socket", "gunicorn shop.wsgi"),
        ("path", "uvicorn shop:app --uds $SOCKET"),
        ("port", "python server.py"),
    ],
)
def test_unit_files_are_as_reviewed(name: str, command: str) -> None:
    limits = {"memory": "512M", "cpu": 1.5, "tasks": 64, "files": 4096}
    files = files_of(command, limits=limits)
    text = b"".join(b"### %s\n%s\n" % (n.encode(), d) for n, d in sorted(files.items()))
    check_golden(f"units-{name}.txt", text)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize(
    "command", ["gunicorn shop.wsgi", "python s.py", "uvicorn a:b --uds $SOCKET"]
)
def test_systemd_finds_no_fault_in_unit_files(tmp_path: Path, command: str) -> None:
    for name, data in files_of(command).items():
        if not name.endswith(".conf"):
            # The relay's program is the host's; any program stands for it here.
            text = data.replace(FACTS.socket_proxyd.encode(), b"/bin/true")  # type: ignore[union-attr]
            (tmp_path / name.replace("@.", "@1.")).write_bytes(text)
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    complaints = [line for line in done.stderr.splitlines() if "steersman-" in line]
    assert complaints == []


def test_a_site_is_as_reviewed() -> None:
    routes = tuple(Route.model_validate(route) for route in ROUTES)
    check_golden("site.conf", NginxDriver(layout_of(HOST)).render("shop", routes).data)


@pytest.mark.parametrize(
    ("command", "way", "run_as"),
    [
        ("gunicorn shop.wsgi", "socket", "gunicorn --graceful-timeout 29 shop.wsgi"),
        (
            "gunicorn -b 0.0.0.0:80 shop.wsgi",
            "socket",
            "gunicorn --graceful-timeout 29 -b 0.0.0.0:80 shop.wsgi",
        ),
        (
            "python -m gunicorn shop.wsgi",
            "socket",
            "python -m gunicorn --graceful-timeout 29 shop.wsgi",
        ),
        (
            "gunicorn shop.wsgi --graceful-timeout=5",
            "socket",
            "gunicorn shop.wsgi --graceful-timeout=5",
        ),
        ("uvicorn a:b", "socket", "uvicorn --fd 3 --timeout-graceful-shutdown 29 a:b"),
        (
            "uvicorn a:b --uds $SOCKET",
            "path",
            "uvicorn --timeout-graceful-shutdown 29 a:b --uds $SOCKET",
        ),
        (
            "uvicorn a:b --port $PORT",
            "port",
            "uvicorn --timeout-graceful-shutdown 29 a:b --port $PORT",
        ),
        ("hypercorn a:b", "socket", "hypercorn --bind fd://3 --graceful-timeout 29 a:b"),
        ("daphne a:b", "path", "daphne -u $SOCKET a:b"),
        ("granian a:b", "port", "granian --host 127.0.0.1 --port $PORT a:b"),
        (
            "uwsgi --module shop",
            "socket",
            f"uwsgi --protocol http --master --need-app {UWSGI_STOP} --module shop",
        ),
        (
            "uwsgi --http-socket $SOCKET --master --module shop",
            "path",
            f"uwsgi --need-app {UWSGI_STOP} --http-socket $SOCKET --master --module shop",
        ),
        (
            "waitress-serve a:b",
            "path",
            "waitress-serve --unix-socket=$SOCKET --unix-socket-perms=660 a:b",
        ),
        ("python server.py", "port", "python server.py"),
        ("./serve --fd $LISTEN_FDS", "socket", "./serve --fd $LISTEN_FDS"),
    ],
)
def test_a_server_learns_its_socket(command: str, way: str, run_as: str) -> None:
    process = Process.model_validate({"command": command, "port": "http"})
    assert way_of("web", process) == way
    assert " ".join(command_of(process, way)) == run_as


def test_a_server_that_names_its_own_port_cannot_hand_over() -> None:
    process = Process.model_validate({"command": "uvicorn shop:app --port 8000", "port": "http"})
    with pytest.raises(NoWayToListen, match=r"\$PORT"):
        way_of("web", process)


@pytest.mark.parametrize(("timeout", "grace"), [("90s", "89"), ("1500ms", "1"), ("1s", "1")])
def test_a_server_ends_by_itself_before_it_is_killed(timeout: str, grace: str) -> None:
    process = Process.model_validate(
        {"command": "gunicorn shop.wsgi", "port": "http", "stop": {"timeout": timeout}}
    )
    assert command_of(process, "socket")[1:3] == ("--graceful-timeout", grace)


@pytest.mark.parametrize(
    ("command", "added"),
    [
        ("celery -A shop worker", ("--hostname", CELERY_NODE)),
        ("python -m celery -A shop worker", ("--hostname", CELERY_NODE)),
        ("celery -A shop worker -n mine@%h", ()),
        ("celery -A shop worker --hostname=mine@%h", ()),
        ("celery -A shop beat", ()),
        ("gunicorn shop.wsgi", ()),
    ],
)
def test_a_worker_gets_only_a_name_of_its_own(command: str, added: tuple[str, ...]) -> None:
    process = Process.model_validate({"command": command})
    assert command_of(process, "none") == (*shlex.split(command), *added)


@pytest.mark.parametrize(
    ("command", "run_as"),
    [
        ("celery -A shop worker -n a", "python RUNNER -A shop worker -n a"),
        ("python3.11 -m celery -A shop worker -n a", "python3.11 RUNNER -A shop worker -n a"),
        # Whose Python and whose Celery these are is not known.
        ("/opt/x/bin/celery -A shop worker -n a", None),
        ("ddtrace-run celery -A shop worker -n a", None),
        ("celery -A shop beat", None),
    ],
)
def test_a_celery_worker_is_run_by_a_file_that_is_there(command: str, run_as: str | None) -> None:
    files = files_of(command, port=None)
    service = files["steersman-shop.web.g8@.service"].decode()
    (start,) = [line for line in service.splitlines() if line.startswith("ExecStart=")]
    words = start.removeprefix('ExecStart="/usr/bin/env" "--" ').replace('"', "")
    runner = f"{layout_of(HOST).units}/steersman-shop.g8.celery.py"
    assert words == (run_as or command).replace("RUNNER", runner)
    assert ("steersman-shop.g8.celery.py" in files) == (run_as is not None)


@pytest.mark.parametrize("command", ["waitress-serve a:b", "gunicorn a:b --bind unix:$SOCKET"])
def test_instances_that_would_bind_one_path_are_refused(command: str) -> None:
    with pytest.raises(OneInstanceOnly, match="count: 1"):
        files_of(command, count=2)
    assert files_of(command, count=1)


def test_words_reach_the_program_as_they_were() -> None:
    assert exec_words(["a b", 'q"q', "back\\slash", "50%", "$HOME/x", "cost$"]) == (
        '"a b" "q\\"q" "back\\\\slash" "50%%" "${HOME}/x" "cost$$"'
    )
    assert environment("A", 'x"y%z') == '"A=x\\"y%%z"'


@given(st.text())
def test_no_value_becomes_a_second_line(value: str) -> None:
    try:
        data = render([("Service", [("Environment", environment("A", value))])])
        env = env_file([("A", value)])
    except CannotRender:
        return
    assert len(data.decode().split("\n")) == 5
    assert env.decode().count("\n") == 1


@pytest.mark.parametrize("host", ["a b", "a;b", "a{", "a\n", "$x", "a#b", "'a'", ""])
def test_a_hostile_name_never_reaches_a_site(host: str) -> None:
    route = Route.model_construct(host=host, path="/", process="web", directory=None)
    with pytest.raises(CannotRender):
        NginxDriver(layout_of(HOST)).render("shop", (route,))


JOBS: dict[str, dict[str, Any]] = {
    "forbid": {"schedule": "*/5 * * * *", "timeZone": "Europe/Berlin", "process": "worker"},
    "allow": {"schedule": "0 0 13 * 5", "concurrency": "Allow", "missed": "skip"},
    "replace": {"schedule": "@daily", "concurrency": "Replace", "timeout": "10m"},
    "once": {"retries": 2, "limits": {"memory": "1G", "tasks": 9}, "stop": {"signal": "INT"}},
}


def job_files(name: str) -> dict[str, bytes]:
    spec = {"app": "shop", "command": ["python", "report.py", "100%", "$MOOD"], **JOBS[name]}
    metadata = {"name": name, "generation": 1, "uid": "u"}
    job = Job.model_validate({"metadata": metadata, "spec": spec})
    target = render_jobs(JobHost("shop", "app-shop", layout_of(HOST), FACTS), (job,))
    files = (*target.jobs[0].unit_files, target.jobs[0].mark)
    return {file.path.rpartition("/")[2]: file.data for file in files}


@pytest.mark.parametrize("name", JOBS)
def test_units_of_jobs_are_as_reviewed(name: str) -> None:
    text = b"".join(b"### %s\n%s\n" % (n.encode(), d) for n, d in sorted(job_files(name).items()))
    check_golden(f"job-{name}.txt", text)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here")
@pytest.mark.parametrize("name", JOBS)
def test_systemd_finds_no_fault_in_units_of_jobs(tmp_path: Path, name: str) -> None:
    for file, data in job_files(name).items():
        if not file.endswith(".json"):
            (tmp_path / file).write_bytes(data)
    template = next(tmp_path.glob("*@.service"))
    template.rename(tmp_path / template.name.replace("@.", "@run."))
    done = subprocess.run(
        ["systemd-analyze", "verify", "--recursive-errors=no", *map(str, tmp_path.iterdir())],
        capture_output=True,
        text=True,
        env={"PATH": "/usr/bin:/bin", "SYSTEMD_UNIT_PATH": f"{tmp_path}:"},
    )
    assert (done.returncode, done.stdout + done.stderr) == (0, "")
