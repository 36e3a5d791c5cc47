"""CaddyDriver: the sites it writes, read back by Caddy itself."""

from __future__ import annotations

import json
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

import pytest

from steersman.api.routes import Route
from steersman.drivers.caddy import CaddyDriver
from steersman.drivers.model import Layout
from steersman.drivers.unitfile import CannotRender

CADDY = Path(sysconfig.get_path("scripts"), "caddy")
LAYOUT = Layout("/srv/s", "/run/s", "", "/srv/s/caddy.d", "")
ROUTES = (
    Route(host="shop.test", path="/", process="web", client_max_body_size=5000, read_timeout=90),
    Route(host="shop.test", path="/static/", directory="public/assets"),
    Route(host="shop.test", path="/static/live", process="live"),
)


def adapted(tmp_path: Path, routes: tuple[Route, ...], *, tls: bool = False) -> dict[str, Any]:
    file = CaddyDriver(LAYOUT, tls=tls).render("shop", routes)
    assert file.path == "/srv/s/caddy.d/steersman-shop.caddy"
    (server,) = adapted_whole(tmp_path, file.data)["apps"]["http"]["servers"].values()
    return dict(server)


def adapted_whole(tmp_path: Path, site: bytes) -> dict[str, Any]:
    """Return what Caddy makes of a site, as its own configuration."""
    written = tmp_path / "Caddyfile"
    written.write_bytes(b"{\n\thttp_port 8080\n}\n" + site)
    argv = [str(CADDY), "adapt", "--adapter", "caddyfile", "--config", str(written)]
    done = subprocess.run(argv, capture_output=True, check=True)
    config: dict[str, Any] = json.loads(done.stdout)
    return config


def found(config: Any, key: str) -> list[Any]:
    """Return every value that `key` has anywhere in `config`, in order."""
    if isinstance(config, list):
        return [value for each in config for value in found(each, key)]
    if not isinstance(config, dict):
        return []
    mine = [config[key]] if key in config else []
    return mine + [value for each in config.values() for value in found(each, key)]


def test_the_longest_prefix_is_asked_first(tmp_path: Path) -> None:
    server = adapted(tmp_path, ROUTES)
    assert server["listen"] == [":8080"]
    assert found(server, "host") == [["shop.test"]]
    assert found(server, "path") == [["/static/live*"], ["/static/*"], ["/*"]]
    assert found(server, "dial") == ["unix//run/s/shop/live.sock", "unix//run/s/shop/web.sock"]


def test_upstreams_are_not_kept_and_limits_hold(tmp_path: Path) -> None:
    server = adapted(tmp_path, ROUTES[:1])
    assert [kept["enabled"] for kept in found(server, "keep_alive")] == [False]
    assert found(server, "max_size") == [5000]
    assert found(server, "read_timeout") == [90 * 10**9]


def test_answers_are_logged_without_their_headers(tmp_path: Path) -> None:
    file = "/srv/s/log/steersman-shop.access.log"
    driver = CaddyDriver(LAYOUT, tls=False)
    assert driver.access_log("shop") == file
    config = adapted_whole(tmp_path, driver.render("shop", ROUTES).data)
    logs = [log for name, log in config["logging"]["logs"].items() if name != "default"]
    assert [log["writer"]["filename"] for log in logs] == [file]
    fields = logs[0]["encoder"]["fields"]
    assert {name: each["filter"] for name, each in fields.items()} == {
        "request>headers": "delete",
        "resp_headers": "delete",
    }


def test_a_folder_is_served_below_its_prefix(tmp_path: Path) -> None:
    server = adapted(tmp_path, ROUTES[1:2])
    assert found(server, "strip_path_prefix") == ["/static"]
    assert "/run/s/shop/serving/src/public/assets" in found(server, "root")


def test_a_host_with_tls_gets_names_without_a_scheme(tmp_path: Path) -> None:
    assert adapted(tmp_path, ROUTES, tls=True)["listen"] == [":443"]


def test_what_a_caddyfile_gives_a_meaning_is_refused() -> None:
    route = Route.model_construct(host="shop.test {", path="/", process="web", directory=None)
    with pytest.raises(CannotRender):
        CaddyDriver(LAYOUT, tls=False).render("shop", (route,))
