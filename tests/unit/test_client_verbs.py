"""Every verb that needs no host, by this process and by a daemon: the same output and code."""

from __future__ import annotations

import asyncio
import json
import os
import re
import shutil
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.shell_completion import ShellComplete

from builds_lab.repositories import Repository
from laws.daemon import Daemon, app, document, host, in_thread, job, secret
from steersman.api.objects import dump_object, parse_object
from steersman.cli import kinds
from steersman.cli.app import Tools, run
from steersman.cli.app import steer as cli
from steersman.client.contexts import Context, Contexts, write_contexts
from steersman.sealing.keyring import Keyring
from steersman.store.sqlite import SqliteStore

CANARY = "c4n4ry-Zx9!"
RELEASE = {
    "app": "shop",
    "source": {"package": "shop==1.0"},
    "content": "package:shop==1.0",
    "ref": "shop==1.0",
    "builds": {},
    "template": {"processes": {"web": {"command": ["gunicorn", "shop"], "port": "http"}}},
}


@dataclass
class Ran:
    code: int
    out: str
    err: str

    @property
    def plain(self) -> tuple[int, str, str]:
        """Without what differs from run to run: how long things took, how old they are and how
        wide that makes their column, and where the state is."""
        times = re.compile(r"\(\d+\.\d+s\)|\b\d+(m\d+s|[ms])\b|\d{4}-\d\d-\d\dT[0-9:.+Z]+")
        timeless = (times.sub("T", text.replace("/twin", "/steersman")) for text in self.said)
        out, err = (re.sub(" {3,}", "   ", text) for text in timeless)
        return self.code, out, err

    @property
    def said(self) -> tuple[str, str]:
        return self.out, self.err


Steer = Callable[..., Ran]


@pytest.fixture
def steer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Steer:
    for name in [each for each in os.environ if each.startswith("STEER_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)

    def one(*args: str) -> Ran:
        capfd.readouterr()
        code = run(args)
        said = capfd.readouterr()
        return Ran(code, said.out, said.err)

    return one


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """What is remembered: an app with releases, a secret, a job; hosts that nobody reaches."""

    async def fill() -> None:
        async with SqliteStore(tmp_path / "steersman") as store:
            for each in (app(), app("blog"), host("h1"), host("h2")):
                await store.put(dump_object(parse_object(each)))
            for number, state in ((1, "superseded"), (2, "deployed"), (3, "rejected")):
                spec = {**RELEASE, "number": number, "digest": f"{number:064x}"}
                made = {"apiVersion": "steersman/v1", "kind": "Release", "spec": spec}
                await store.put({**made, "metadata": {"name": f"shop-{number}"}})
                said = {"state": state, "message": "it \x1b[2J crashed", "logs": ["boom"]}
                await store.put_status("Release", f"shop-{number}", said)
            await store.put_status("App", "shop", {"release": 2, "hosts": []})
            await store.add_event("App", "shop", "Normal", "ReleaseMade", "release 3")

    asyncio.run(fill())
    shutil.copytree(tmp_path / "steersman", tmp_path / "twin")
    for name, each in (("shop", app(history=3)), ("token", secret("token", TOKEN=CANARY))):
        (tmp_path / f"{name}.json").write_text(json.dumps(each))
    (tmp_path / "job.json").write_text(json.dumps(job("tidy", "shop")))
    sources = Repository(tmp_path / "sources")
    sources.commit({"h3.json": json.dumps(host("h3"))})
    fleet = document("Repository", "fleet", {"url": str(sources.folder), "interval": "5m"})
    (tmp_path / "fleet.json").write_text(json.dumps(fleet))
    (tmp_path / "bad.json").write_text(json.dumps(app(config={"secrets": ["no-such"]})))
    return tmp_path


@pytest.fixture
def served(state: Path) -> Iterator[Daemon]:
    with in_thread(state / "steersman", is_tls=True) as one:
        yield one


# What changes nothing, so that one state answers both ways.
LOOKS = [
    "get all",
    "get apps -o wide",
    "get app shop -o yaml",
    "get app shop nothing",
    "get releases -o name",
    "get hosts -l no=such",
    "get events",
    "get generations",
    "describe app/shop",
    "describe release/shop-3",
    "describe app/nothing host/nothing",
    "rollout history app/shop",
    "rollout history app/shop --revision=3",
    "rollout history app/nothing",
    "rollout status app/shop --no-watch",
    "rollout undo app/blog",
    "rollout undo app/shop --to-revision=2",
    "rollout undo app/shop --to-revision=9",
    "rollout promote app/shop",
    "rollout abort app/shop",
    "scale app/shop nothing=3",
    "diff -f shop.json",
    "diff -f bad.json",
    "diff app/nothing",
    "apply -f bad.json",
    "apply -f shop.json --dry-run",
    "delete app/nothing",
    "delete secret/nothing --ignore-not-found",
    "logs app/shop",
    "logs job/nothing",
    "exec app/shop -- true",
    "exec app/shop -p nothing -- true",
    "job run job/nothing",
    "host cordon nothing",
    "host drain nothing",
    "host check nothing",
    "adopt host/nothing",
    "reconcile app/nothing repository/nothing",
    "reconcile host/h1",
    "git create no_such_name",
    "git create shop",
    "auth can-i delete apps",
]


def test_looks_and_refusals_read_the_same(steer: Steer, served: Daemon) -> None:
    for line in LOOKS:
        args = line.split()
        split = args.index("--") if "--" in args else len(args)
        here = steer(*args[:split], "--context", "local", *args[split:])
        there = steer(*args)
        assert there.plain == here.plain, line
        assert here.out or here.err or "ignore" in line, line


CHANGES = [
    "apply -f shop.json -f token.json -f job.json",
    "apply -f shop.json",
    "delete job/tidy secret/token",
    "label app/shop tier=front",
    "annotate app/shop note=x",
    'patch app/shop --type=merge -p {"spec":{"history":7}}',
    "label secret/nothing a=b",
    "diff -f shop.json --save plan.json",
    "host cordon h1",
    "host cordon h1",
    "host uncordon h1",
    "host uncordon h1",
    "host drain h2",
    "host uncordon h2",
    "rollout pause app/shop",
    "rollout resume app/shop",
    "scale app/shop web=3",
    "rollout restart app/blog",
    "apply -f fleet.json",
    "reconcile repository/fleet",
    "reconcile repository/fleet app/shop app/nothing",
    "git create desk --ref=live --route=desk.example.com",
    "git create desk",
    "get app/desk -o jsonpath={.spec.source}{.spec.routes}",
    "delete app/desk repository/fleet host/h3 --cascade=orphan",
    "delete host/h2 app/blog --cascade=orphan",
    "delete app/shop",
    "get all",
]


def test_changes_read_the_same(steer: Steer, state: Path, served: Daemon) -> None:
    for line in CHANGES:
        there = steer(*line.split())
        twin = f"--state-dir={state / 'twin'}"
        here = steer(*line.split(), "--context", "local", twin)
        assert there.plain == here.plain, line
        assert there.out or there.err, line


def test_values_go_there_and_never_come_back(steer: Steer, served: Daemon) -> None:
    applied = steer("apply", "-f", "token.json")
    assert applied.out.startswith("secret/token created"), applied
    shown = steer("get", "secret/token", "-o", "yaml")
    assert "hmac-sha256:" in shown.out
    assert CANARY not in shown.out
    revealed = steer("secret", "reveal", "secret/token", "TOKEN", "--piped")
    assert revealed.out == f"{CANARY}\n"


def remember(served: Daemon, folder: Path, name: str, token: str | None, **trust: Any) -> None:
    context = Context(name, served.url, token=token, **trust)
    path = folder / "config" / "steersman" / "contexts.yaml"
    write_contexts(Contexts(name, {name: context}), path)


def test_contexts_lead_to_daemons_by_tls(steer: Steer, state: Path, served: Daemon) -> None:
    made = steer("token", "create", "ci", "--scope", "deploy:shop", "--expires", "1d")
    token = made.out.strip()
    assert re.fullmatch(r"steer_[0-9a-f]{16}_[0-9a-f]{64}", token), made
    (state / "token").write_text(token + "\n")
    url = f"--server={served.url}"
    set_ = steer("config", "set-context", "prod", url, f"--certificate-authority={served.ca}")
    assert set_.out.startswith('Context "prod" created'), set_
    assert steer("config", "set-context", "prod", "--token-file", "token").code == 0
    assert steer("config", "use-context", "prod").out == 'Switched to context "prod".\n'
    listed = steer("config", "get-contexts").out
    assert re.search(r"\*\s+prod\s+https://localhost:\d+\s+yes", listed), listed
    assert token not in listed
    assert steer("auth", "whoami").out == "token ci: deploy:shop\n"
    assert (
        steer("auth", "can-i", "logs", "app/shop").out,
        steer("auth", "can-i", "logs", "app/blog").code,
    ) == ("yes\n", 1)
    assert steer("get", "apps", "-o", "name").out == "app/shop\n"
    refused = steer("get", "app/blog")
    assert refused.code == 1
    assert "token ci may not get app/blog" in refused.err
    own = steer("reconcile", "app/shop")
    assert "ci may not" not in own.err
    for line, what in (
        ("reconcile app/blog", "reconcile app/blog"),
        ("reconcile repository/fleet", "reconcile repository/fleet"),
        ("git create shop", "create gitrepository/shop"),
        ("adopt host/h1", "adopt hosts"),
    ):
        denied = steer(*line.split())
        assert denied.code == 1, line
        assert f"token ci may not {what}: it has deploy:shop" in denied.err, line
    assert steer("rollout", "history", "app/shop").out.count("\n") == 5
    reveal = steer("secret", "reveal", "secret/token", "--piped")
    assert "gives nobody the values of a Secret" in reveal.err
    assert steer("token", "create", "x", "--scope", "admin").code == 1
    # Whoever asks for no daemon gets none.
    assert steer("get", "apps", "-o", "name", "--context", "local").out == "app/blog\napp/shop\n"


def test_whom_a_context_trusts(steer: Steer, state: Path, served: Daemon) -> None:
    remember(served, state, "prod", "x")
    untrusted = steer("get", "apps")
    assert untrusted.code == 1
    assert "cannot be reached" in untrusted.err
    assert "--certificate-authority" in untrusted.err
    remember(served, state, "prod", "x", fingerprint="sha256:" + "0" * 64)
    pinned = steer("get", "apps")
    assert "may be somebody in between" in pinned.err
    shown = re.search(r"certificate (sha256:[0-9a-f]{64})", pinned.err)
    assert shown is not None
    remember(served, state, "prod", "x", fingerprint=shown[1])
    assert "the token is not valid" in steer("get", "apps").err


def test_a_dead_daemons_socket_is_nobody(steer: Steer, state: Path) -> None:
    dead = socket.socket(socket.AF_UNIX)
    dead.bind(str(state / "steersman" / "steer.sock"))
    dead.close()
    assert steer("get", "apps", "-o", "name").out == "app/blog\napp/shop\n"
    none = steer("token", "list")
    assert "there is no daemon here to ask" in none.err


def test_contexts_that_cannot_be(steer: Steer, state: Path) -> None:
    for args in (
        ("bad/name", "--server=https://x"),
        ("local", "--server=https://x"),
        ("plain", "--server=http://x"),
        ("odd", "--server=https://user:pw@x"),
        ("dash", "--server=ssh://-oProxyCommand=id"),
        ("fp", "--server=https://x", "--fingerprint=md5:x"),
        ("new",),
    ):
        refused = steer("config", "set-context", *args)
        assert refused.code in (1, 2), args
        assert refused.out == "", args
    assert "there is no context 'nope'" in steer("get", "apps", "--context", "nope").err
    path = state / "config" / "steersman" / "contexts.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("current: x\ncontexts: [{name: x, server: 'https://x', tokn: steer_s3cret}]\n")
    path.chmod(0o600)
    broken = steer("get", "apps")
    assert broken.code == 1
    assert "s3cret" not in broken.err
    path.chmod(0o644)
    assert "chmod 600" in steer("get", "apps").err
    path.unlink()


def test_a_token_goes_to_no_other_server(steer: Steer, state: Path) -> None:
    (state / "t").write_text("steer_x")
    steer("config", "set-context", "prod", "--server=https://a", "--token-file=t")
    path = state / "config" / "steersman" / "contexts.yaml"
    assert path.stat().st_mode & 0o077 == 0
    assert "steer_x" in path.read_text()
    steer("config", "set-context", "prod", "--server=https://b")
    assert "steer_x" not in path.read_text()


def test_what_is_sealed_from_afar_opens_in_the_daemon_alone(
    steer: Steer, state: Path, served: Daemon
) -> None:
    made = steer("token", "create", "ci", "--scope", "deploy:shop")
    remember(served, state, "prod", made.out.strip(), ca=served.ca)
    manifest = state / "late.yaml"
    manifest.write_text(json.dumps(secret("late", TOKEN=CANARY)))
    # Nobody asks for it in the store of this machine, nor for a key here.
    own = ("--state-dir", str(state / "empty"), "--context", "prod")
    sealed = steer("secret", "seal", "-f", "late.yaml", *own)
    assert sealed.code == 0, sealed
    recipient = served.parts.keys.recipient()
    assert f"sealed TOKEN; {recipient} can open it" in sealed.out
    assert CANARY not in manifest.read_text()
    assert not (state / "empty").exists()
    steer("apply", "-f", "late.yaml", "--context", "local")
    revealed = steer("secret", "reveal", "secret/late", "TOKEN", "--piped", "--context", "local")
    assert revealed.out == f"{CANARY}\n"
    # Where recipients are listed nobody has to be asked, and who cannot open it is said.
    listed = secret("late", TOKEN=CANARY)
    friend = Keyring(state / "friend.key")
    friend.make()
    listed["spec"]["recipients"] = [friend.recipient()]
    manifest.write_text(json.dumps(listed))
    assert f"no key in {served.url} opens it" in steer("secret", "seal", "-f", "late.yaml").out
    manifest.write_text(json.dumps(listed))
    context = Context("prod", "https://127.0.0.1:1", token="x")
    write_contexts(
        Contexts("prod", {"prod": context}), state / "config" / "steersman" / "contexts.yaml"
    )
    alone = steer("secret", "seal", "-f", "late.yaml")
    assert (alone.code, "is not known: the daemon at" in alone.out) == (0, True), alone
    assert CANARY not in manifest.read_text()


def test_names_complete_as_the_daemon_of_the_context_knows_them(
    steer: Steer, state: Path, served: Daemon, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kinds, "PATIENCE", 60.0)
    made = steer("token", "create", "ci", "--scope", "deploy:shop")
    remember(served, state, "prod", made.out.strip(), ca=served.ca)
    steer("delete", "app/shop", "--context", "local", f"--state-dir={state / 'twin'}")

    def completed(*words: str) -> list[str]:
        complete = ShellComplete(cli, {"obj": Tools()}, "steer", "_STEER_COMPLETE")
        return [item.value for item in complete.get_completions(list(words[:-1]), words[-1])]

    assert completed("get", "app", "s") == ["shop"]
    assert completed("describe", "app/s") == ["app/shop"]
    # What the token may not see is not shown; words before say whom to ask.
    assert completed("get", "app", "b") == []
    twin = ("--context", "local", "--state-dir", str(state / "twin"))
    assert completed("get", *twin, "app", "b") == ["blog"]
    assert completed("get", *twin, "app", "s") == []
    # Nobody who is asked, and nobody who answers in time: no names, and no word of it.
    assert completed("get", "--context", "nope", "app", "s") == []
    assert completed("get", "nothing", "s") == []
    remember(served, state, "prod", "wrong", ca=served.ca)
    assert completed("get", "app", "s") == []
    with closing(socket.socket(socket.AF_UNIX)) as silent:
        silent.bind(str(state / "silent"))
        silent.listen()
        mute = Contexts("mute", {"mute": Context("mute", f"unix://{state}/silent")})
        write_contexts(mute, state / "config" / "steersman" / "contexts.yaml")
        monkeypatch.setattr(kinds, "PATIENCE", 0.1)
        assert completed("get", "app", "s") == []


def test_a_shell_is_told_the_names(steer: Steer, state: Path) -> None:
    twin = f"--context local --state-dir {state / 'twin'}"
    steer("git", "create", "sloop", *twin.split())
    env = {"_STEER_COMPLETE": "bash_complete", "COMP_WORDS": f"steer get {twin} app s"}
    done = subprocess.run(
        [sys.executable, "-m", "steersman.cli"],
        env={**os.environ, **env, "COMP_CWORD": "7"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout, done.stderr) == ("plain,shop\nplain,sloop\n", "")
