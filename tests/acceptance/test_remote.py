"""A daemon on real hosts, spoken to by `steer`, by `curl` as a stranger would, and by nobody."""

from __future__ import annotations

import json
import shutil
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from acceptance.daemon import Daemon, serving
from acceptance.test_cli_verbs_lab import Person
from lab.fixtures import make_lab
from lab.lab import Lab

__all__ = ["make_lab"]

pytestmark = pytest.mark.lab

ROOT = "http://localhost/apis/steersman/v1"

CURL = ("curl", "-sS", "--max-time", "60", "-w", "\n%{http_code}")


class Served:
    """Somebody whose daemon runs, with the app `crew` on one host."""

    def __init__(self, person: Person, daemon: Daemon) -> None:
        self.person = person
        self.daemon = daemon
        self.socket = person.folder / "state/steersman/steer.sock"

    def curl(self, path: str, *args: str, token: str | None = None) -> tuple[int, str]:
        """Return the code and the body of what `curl` is answered."""
        known = ("-H", f"Authorization: Bearer {token}") if token is not None else ()
        url = path if path.startswith("http") else f"{ROOT}{path}"
        done = subprocess.run(
            [*CURL, "--unix-socket", str(self.socket), *known, *args, url],
            capture_output=True,
            text=True,
            check=True,
        )
        body, _, code = done.stdout.rpartition("\n")
        return int(code), body

    def told(self, path: str, data: Any, **options: Any) -> list[dict[str, Any]]:
        """Return the lines of a verb's answer."""
        how = ("-X", "POST", "-H", "Content-Type: application/json", "-d", json.dumps(data))
        code, body = self.curl(path, *how, **options)
        assert code == 200, body
        return [json.loads(line) for line in body.splitlines()]


@pytest.fixture(scope="module")
def served(lab_of_one: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    person = Person(tmp_path_factory.mktemp("r"), lab_of_one)
    person.env["XDG_CONFIG_HOME"] = str(person.folder / "config")
    with serving(person) as daemon:  # type: ignore[arg-type]
        person.steer("apply", "-f", "hosts.yaml", "-f", "app.yaml")
        yield Served(person, daemon)
        person.steer("delete", "app/crew", "host/h1")


@pytest.fixture(scope="module")
def lab_of_one(make_lab: Any) -> Iterator[Lab]:
    lab = make_lab(1)
    yield lab
    lab.down()


def test_verbs_are_done_by_the_daemon(served: Served) -> None:
    steer = served.person.steer
    assert "app/crew restarted" in steer("rollout", "restart", "crew", "-v")
    assert steer("exec", "crew", "--", "sh", "-c", "echo $MOOD; exit 7", expect=7) == "calm\n"
    assert "begins calm" in steer("logs", "crew", "-p", "first")
    assert "second.1" in steer("describe", "app/crew")
    assert steer("get", "generations", "crew", "-o", "name").count("generation/crew.") == 2
    assert "nothing to do" in steer("apply", "-f", "app.yaml")
    assert "successfully rolled out" in steer("rollout", "status", "crew")
    paths = [each["path"] for each in served.daemon.events("api_request_served")]
    for last in ("/apply", "/rollout/restart", "/exec"):
        assert any(path.endswith(last) for path in paths), last


def test_curl_reads_watches_and_scales(served: Served) -> None:
    code, body = served.curl("http://localhost/healthz")
    assert (code, json.loads(body)) == (200, {"status": "ok"})
    code, body = served.curl("/apps/crew")
    assert (code, json.loads(body)["spec"]["config"]["env"]) == (200, {"MOOD": "calm"})
    revision = json.loads(served.curl("/apps")[1])["metadata"]["resourceVersion"]
    lines = served.told("/apps/crew/scale", {"counts": {"second": 2}})
    assert [each["told"] for each in lines if "told" in each][-1] == "host_ended"
    outcome = lines[-1]["outcome"]
    assert (outcome["app"], outcome["error"]) == ("crew", None)
    assert served.person.runs("worker.py")
    watch = f"/apps?watch=true&resourceVersion={revision}&timeoutSeconds=1"
    changes = [json.loads(line) for line in served.curl(watch)[1].splitlines()]
    assert {each["object"]["metadata"]["name"] for each in changes} == {"crew"}
    events = json.loads(served.curl("/happened?kind=App&name=crew")[1])["items"]
    assert any(each["message"].endswith("scale of app/crew") for each in events)


def test_a_token_opens_its_own_app_only(served: Served) -> None:
    steer = served.person.steer
    token = steer("token", "create", "ci", "--scope", "deploy:crew", "--expires", "1h").strip()
    assert json.loads(served.curl("/whoami", token=token)[1])["scopes"] == ["deploy:crew"]
    assert (
        served.told("/apps/crew/rollout/restart", {}, token=token)[-1]["outcome"]["error"] is None
    )
    for path in ("/apps/other", "/apps/other/logs", "/secrets", "/tokens"):
        assert served.curl(path, token=token)[0] == 403, path
    steer("token", "revoke", "ci")
    assert served.curl("/whoami", token=token)[0] == 401


def test_a_daemon_that_died_stands_in_nobodys_way(served: Served) -> None:
    served.daemon.kill()
    assert served.socket.exists()
    assert "app/crew: release" in served.person.steer("apply", "-f", "app.yaml")
    assert "no daemon here to ask" in served.person.steer("token", "list", expect=1)
