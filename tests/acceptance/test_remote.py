"""A daemon on real hosts, spoken to by `steer` here and from afar, by `curl`, and by nobody."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import trustme

from acceptance.daemon import Daemon, serving
from acceptance.test_cli_verbs_lab import Person
from lab.fixtures import make_lab
from lab.lab import Lab
from transport_lab import Server, run_sshd

__all__ = ["make_lab"]

pytestmark = pytest.mark.lab

ROOT = "http://localhost/apis/steersman/v1"

CURL = ("curl", "-sS", "--max-time", "60", "-w", "\n%{http_code}")


class Served:
    """Somebody whose daemon runs, with the app `crew` on one host."""

    def __init__(self, person: Person, daemon: Daemon, ca: Path) -> None:
        self.person = person
        self.daemon = daemon
        self.ca = ca
        self.socket = person.folder / "state/steersman/steer.sock"
        (listening,) = daemon.events("api_listening")
        self.port = int(listening["where"][1].rpartition(":")[2])

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}"

    def curl(self, path: str, *args: str, token: str | None = None) -> tuple[int, str]:
        """Return the code and the body of what `curl` is answered, by the socket or a whole URL."""
        known = ("-H", f"Authorization: Bearer {token}") if token is not None else ()
        is_tls = path.startswith("https")
        way = ("--cacert", str(self.ca)) if is_tls else ("--unix-socket", str(self.socket))
        url = path if path.startswith("http") else f"{ROOT}{path}"
        done = subprocess.run(
            [*CURL, *way, *known, *args, url],
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


def open_to_others(folder: Path) -> Path:
    """Have the daemon of a state folder listen for TLS; return the certificate to trust."""
    folder.mkdir(mode=0o700, parents=True)
    authority = trustme.CA()
    issued = authority.issue_cert("localhost")
    issued.private_key_and_cert_chain_pem.write_to_path(str(folder / "own.pem"))
    authority.cert_pem.write_to_path(str(folder / "ca.pem"))
    own = folder / "own.pem"
    config = f"api: {{listen: '127.0.0.1:0', certificate: {own}, key: {own}}}\n"
    (folder / "serve.yaml").write_text(config)
    return folder / "ca.pem"


class Stranger(Person):
    """Somebody with another home and state, who knows of no host and has but two contexts."""

    def __init__(self, served: Served, sshd: Server) -> None:
        self.folder = served.person.folder / "afar"
        home = self.folder / "home"
        (home / ".ssh").mkdir(mode=0o700, parents=True)
        shutil.copy(sshd.identity, home / ".ssh/id_ed25519")
        known = f"[127.0.0.1]:{sshd.port} {sshd.host_key}\n"
        (home / ".ssh/known_hosts").write_text(known)
        kept = {key: value for key, value in os.environ.items() if not key.startswith("SSH_")}
        folders = {f"XDG_{each}_HOME": str(home / each) for each in ("STATE", "CONFIG")}
        self.env = {**kept, **folders, "HOME": str(home)}
        token = served.person.steer("token", "create", "ops", "--scope", "admin")
        (self.folder / "token").write_text(token)
        self.knows("tls", served.url, "--token-file=token", f"--certificate-authority={served.ca}")
        self.knows("ssh", f"ssh://root@127.0.0.1:{sshd.port}")

    def knows(self, name: str, server: str, *options: str) -> None:
        self.steer("config", "set-context", name, f"--server={server}", *options)


@pytest.fixture
def stranger(served: Served, tmp_path: Path) -> Iterator[Stranger]:
    state = str(served.person.folder / "state")
    with run_sshd(tmp_path, XDG_STATE_HOME=state) as sshd:
        yield Stranger(served, sshd)


@pytest.fixture(scope="module")
def served(lab_of_one: Lab, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    if shutil.which("curl") is None:
        pytest.skip("curl is not installed")
    person = Person(tmp_path_factory.mktemp("r"), lab_of_one)
    person.env["XDG_CONFIG_HOME"] = str(person.folder / "config")
    ca = open_to_others(person.folder / "state/steersman")
    with serving(person) as daemon:  # type: ignore[arg-type]
        person.steer("apply", "-f", "hosts.yaml", "-f", "app.yaml")
        yield Served(person, daemon, ca)
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
    watch = f"/apps?watch=true&resourceVersion={revision}&timeoutSeconds=10"
    changes = [json.loads(line) for line in served.curl(watch)[1].splitlines()]
    assert {each["object"]["metadata"]["name"] for each in changes} == {"crew"}
    events = json.loads(served.curl("/happened?kind=App&name=crew")[1])["items"]
    assert any(each["message"].endswith("scale of app/crew") for each in events)


def test_a_token_opens_its_own_app_only(served: Served) -> None:
    api, steer = f"{served.url}/apis/steersman/v1", served.person.steer
    mine = steer("token", "create", "ci", "--scope", "deploy:crew", "--expires", "1h").strip()
    others = steer("token", "create", "others", "--scope", "deploy:other").strip()
    assert json.loads(served.curl(f"{api}/whoami", token=mine)[1])["scopes"] == ["deploy:crew"]
    crew, wrong = f"{api}/apps/crew", (mine[:-1] + ("0" if mine[-1] != "0" else "1"), "x", None)
    code, body = served.curl(crew, token=mine)
    assert (code, json.loads(body)["metadata"]["name"]) == (200, "crew")
    assert [served.curl(crew, token=each)[0] for each in wrong] == [401, 401, 401]
    code, body = served.curl(crew, token=others)
    assert (code, "token others may not get app/crew: it has deploy:other" in body) == (403, True)
    # A verb is refused as a look is, and a right one is told line by line.
    reconcile = f"{crew}/reconcile"
    assert served.curl(reconcile, "-X", "POST", token=others)[0] == 403
    assert served.told(reconcile, {}, token=mine)[-1]["outcome"]["error"] is None
    for path in ("/apps/other", "/apps/other/logs", "/secrets", "/tokens"):
        assert served.curl(f"{api}{path}", token=mine)[0] == 403, path
    # Nobody's certificate is believed unless it was said to be.
    lost = subprocess.run(["curl", "-sS", crew], capture_output=True, text=True, check=False)
    assert (lost.returncode, "certificate" in lost.stderr) == (60, True), lost
    steer("token", "revoke", "ci")
    assert served.curl(f"{api}/whoami", token=mine)[0] == 401


def test_from_afar_everything_is_done_as_at_home(served: Served, stranger: Stranger) -> None:
    source = stranger.folder / "source"
    shutil.copytree(served.person.folder / "src", source)
    git = ["git", "-C", str(source), "-c", "user.name=x", "-c", "user.email=x@example.com"]
    for words in (["init", "-q", "-b", "main"], ["add", "."], ["commit", "-qm", "one"]):
        subprocess.run([*git, *words], check=True)
    manifest = (served.person.folder / "app.yaml").read_text()
    (stranger.folder / "path.yaml").write_text(manifest)
    url = f"source: {{git: {{url: '{source}', ref: main}}}}"
    (stranger.folder / "app.yaml").write_text(manifest.replace("source: {path: src}", url))

    def by(context: str, *words: str, expect: int = 0) -> str:
        return stranger.steer(*words, "--context", context, expect=expect)

    assert "is a folder on this machine" in by("tls", "apply", "-f", "path.yaml", expect=1)
    assert "app/crew configured" in by("tls", "apply", "-f", "app.yaml")
    assert "nothing to do" in by("ssh", "apply", "-f", "app.yaml")
    looks = {("get", "apps"): "crew", ("rollout", "status", "crew"): "successfully rolled out"}
    both = [(context, words) for context in ("tls", "ssh") for words in looks]
    looking = [stranger.start(*words, "--context", context) for context, words in both]
    for (context, look), process in zip(both, looking, strict=True):
        out, err = process.communicate(timeout=60)
        assert (process.returncode, looks[look] in out) == (0, True), (context, out, err)
    for context in ("tls", "ssh"):
        assert "app/crew: release" in by(context, "reconcile", "app/crew")
    happened = json.loads(served.curl("/happened?kind=App&name=crew")[1])["items"]
    said = {each["message"] for each in happened}
    assert {f"{who}: reconcile of app/crew" for who in ("token ops", "user root")} <= said
    # What was known is lost, and put together again from what the host holds.
    before = json.loads(served.curl("/apps/crew")[1])["status"]["release"]
    by("ssh", "delete", "app/crew", "--cascade=orphan")
    assert "app/crew adopted: " in by("ssh", "adopt", "host/h1")
    assert "nothing to do" in by("tls", "apply", "-f", "app.yaml")
    assert json.loads(served.curl("/apps/crew")[1])["status"]["release"] == before
    # Nothing of all this was done, or is known, on the stranger's own machine.
    assert not list((stranger.folder / "home/STATE").rglob("state.db"))


def test_a_daemon_that_died_stands_in_nobodys_way(served: Served) -> None:
    served.daemon.kill()
    assert served.socket.exists()
    assert "app/crew: release" in served.person.steer("apply", "-f", "app.yaml")
    assert "no daemon here to ask" in served.person.steer("token", "list", expect=1)
