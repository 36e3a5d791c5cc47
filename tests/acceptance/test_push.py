"""`git push` to a daemon with real hosts behind it, and a repository that it follows."""

import hashlib
import hmac
import os
import subprocess
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import yaml

from acceptance.daemon import Daemon, serving
from acceptance.steer import AS_NOBODY_WE_KNOW, PULSE, Ran, Repo, Steer
from acceptance.web import serves
from lab.lab import Lab
from transport_lab import free_port

pytestmark = pytest.mark.lab

SITE = "pushed.example.com"
WITHIN = 90.0


class Pusher:
    """Somebody with a key, a working copy and a remote as `steer git create` said."""

    def __init__(self, folder: Path, repo: Repo) -> None:
        self.key, self._known, self._repo = folder / "key", folder / "known", repo
        words = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "ann", "-f", str(self.key)]
        subprocess.run(words, check=True)
        self.public = self.key.with_suffix(".pub").read_text().strip()

    def git(self, *words: str) -> Ran:
        ssh = (
            f"ssh -F none -i {self.key} -o IdentitiesOnly=yes -o BatchMode=yes"
            f" -o StrictHostKeyChecking=accept-new -o UserKnownHostsFile={self._known}"
        )
        env = {"PATH": os.environ["PATH"], "GIT_SSH_COMMAND": ssh, **AS_NOBODY_WE_KNOW}
        argv = ["git", "-C", str(self._repo.path), *words]
        done = subprocess.run(argv, env=env, capture_output=True, text=True, timeout=240)
        return Ran(done.returncode, done.stdout, done.stderr)


def until(what: str, steer: Steer, *words: str) -> None:
    """Wait until a command line prints `what`."""
    deadline = time.monotonic() + WITHIN
    while what not in (ran := steer.run(*words, expect=None)).out:
        assert time.monotonic() < deadline, ran.said
        time.sleep(0.2)


@pytest.fixture(scope="module")
def repo(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    repo = Repo(tmp_path_factory.mktemp("repos") / "pushed", PULSE)
    repo.commit({"Procfile": "web: gunicorn app:app\n", "VERSION": "1\n"})
    return repo


@pytest.fixture(scope="module")
def ann(repo: Repo, tmp_path_factory: pytest.TempPathFactory) -> Pusher:
    return Pusher(tmp_path_factory.mktemp("ann"), repo)


@pytest.fixture(scope="module")
def steer(new_steer: Callable[[], Steer], ann: Pusher) -> Steer:
    """A steer whose daemon takes what ann pushes."""
    steer = new_steer()
    steer.apply(*steer.hosts())
    keys = {"ann": {"key": ann.public, "apps": ["pushed"]}}
    hooks = {"fleet": {"provider": "gitea", "secret": "fleet-hook", "repository": "fleet"}}
    settings = {"git": {"listen": f"127.0.0.1:{free_port()}", "keys": keys}, "hooks": hooks}
    (steer.folder / "state/steersman/serve.yaml").write_text(yaml.safe_dump(settings))
    return steer


@pytest.fixture(scope="module")
def daemon(steer: Steer) -> Iterator[Daemon]:
    with serving(steer) as running:
        yield running


def test_a_push_serves_everywhere_or_changes_nothing(
    steer: Steer, daemon: Daemon, repo: Repo, ann: Pusher, hosts: Lab
) -> None:
    said = steer.run("git", "create", "pushed", "--route", SITE).out
    (remote,) = [line.strip() for line in said.splitlines() if "remote add" in line]
    assert ann.git(*remote.split()[1:]).code == 0

    pushed = ann.git("push", "steer", "main")
    assert pushed.code == 0, pushed.said
    assert "remote: app/pushed: " not in pushed.err
    assert f"remote: pushed: release 1 on {len(hosts.hosts)} hosts" in pushed.err, pushed.said
    assert all(serves(host, SITE, "1") for host in hosts.hosts)
    good = repo.release("2")
    assert ann.git("push", "steer", "main").code == 0
    assert all(serves(host, SITE, "2") for host in hosts.hosts)

    repo.commit({"app.py": "raise ValueError('the shelf is empty')\n", "VERSION": "3\n"})
    refused = ann.git("push", "steer", "main")
    assert refused.code == 1, refused.said
    assert "the shelf is empty" in refused.err
    assert "! [remote rejected] main -> main (release 3 was rejected: " in refused.err
    assert all(serves(host, SITE, "2") for host in hosts.hosts)
    assert ann.git("ls-remote", "steer", "main").out.startswith(good)
    # The daemon has looked again by itself by then, and there is nothing that it would change.
    until("Ready", steer, "get", "app/pushed")
    steer.run("reconcile", "app/pushed")
    history = steer.run("rollout", "history", "app/pushed").out
    assert "rejected" in history
    assert "\n4 " not in history
    assert all(serves(host, SITE, "2") for host in hosts.hosts)


def test_a_newer_push_overtakes_one_that_never_answers(
    steer: Steer, daemon: Daemon, repo: Repo, ann: Pusher, hosts: Lab
) -> None:
    repo.commit({"app.py": "import time\ntime.sleep(600)\n", "VERSION": "4\n"})
    with ThreadPoolExecutor() as pool:
        hanging = pool.submit(ann.git, "push", "steer", "main")
        until("pending", steer, "rollout", "history", "app/pushed")
        mended = repo.commit({"app.py": (PULSE / "app.py").read_text(), "VERSION": "5\n"})
        pushed = ann.git("push", "steer", "main")
        overtaken = hanging.result(timeout=WITHIN)
    assert pushed.code == 0, pushed.said
    assert "overtaking another push to pushed" in pushed.err
    assert overtaken.code == 1, overtaken.said
    assert "(a newer push to pushed has overtaken this one" in overtaken.err
    assert all(serves(host, SITE, "5") for host in hosts.hosts)
    assert ann.git("ls-remote", "steer", "main").out.startswith(mended)


def deliver(steer: Steer, body: bytes, secret: str) -> str:
    """Deliver a webhook as Gitea does, by curl at the daemon's own socket; return the status."""
    signature = hmac.new(secret.encode(), body, hashlib.sha256).hexdigest()
    words = ["--unix-socket", str(steer.folder / "state/steersman/steer.sock")]
    for header in ("Content-Type: application/json", f"X-Gitea-Signature: {signature}"):
        words += ["--header", header]
    words += ["--data-binary", "@-", "--output", "/dev/null", "--write-out", "%{http_code}"]
    argv = ["curl", "--silent", *words, "http://daemon/hooks/fleet"]
    return subprocess.run(argv, input=body, capture_output=True, check=True).stdout.decode()


def test_a_repository_is_followed_by_polling_and_by_webhooks(
    steer: Steer, daemon: Daemon, tmp_path: Path, hosts: Lab
) -> None:
    text = (
        "apiVersion: steersman/v1\nkind: Secret\nmetadata: {name: %s}\n"
        "spec: {data: {A: {value: hunter2hunter2}}}\n"
    )
    fleet = Repo(tmp_path / "fleet", {"one.yaml": text % "one"})
    spec = {"url": str(fleet.path), "interval": "5s", "prune": True}
    meta = {"name": "fleet"}
    repository = {"apiVersion": "steersman/v1", "kind": "Repository", "metadata": meta}
    steer.apply({**repository, "spec": spec})
    until("one", steer, "get", "secrets", "-o", "name")
    os.unlink(fleet.path / "one.yaml")
    commit = fleet.commit({"two.yaml": text % "two"})
    until(commit[:10], steer, "get", "repositories")
    assert steer.run("get", "secrets", "-o", "name").out.split() == ["secret/two"]
    fleet.commit({"two.yaml": "kind: [\n"})
    until("two.yaml:2:", steer, "describe", "repository/fleet")
    assert steer.run("get", "secrets", "-o", "name").out.split() == ["secret/two"]

    # From now on nobody looks unless somebody who knows the secret says so.
    hook = {"apiVersion": "steersman/v1", "kind": "Secret", "metadata": {"name": "fleet-hook"}}
    values = {"KEY": {"value": "correct horse battery"}}
    assert deliver(steer, b"{}", "correct horse battery") == "404"
    steer.apply(
        {**repository, "spec": {**spec, "interval": "1h"}}, {**hook, "spec": {"data": values}}
    )
    mended = fleet.commit({"two.yaml": text % "two"})
    assert deliver(steer, b"{}", "guessed") == "401"
    assert deliver(steer, b"{}", "correct horse battery") == "202"
    until(mended[:10], steer, "get", "repositories")
