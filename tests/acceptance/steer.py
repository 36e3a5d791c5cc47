"""What acceptance tests work with: the CLI as a subprocess, git repositories and manifests."""

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import reach, seen
from lab.commands import run
from lab.host import Host
from lab.lab import Lab

PULSE = Path(__file__).parent / "pulse"
EXAMPLES = Path(__file__).parents[2] / "manifests/examples"
AS_NOBODY_WE_KNOW = {
    f"GIT_{who}_{what}": f"test{'@example.com' if what == 'EMAIL' else ''}"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
SECRETS = {"SHOP_SECRET_KEY": "a shop's $ecret %i 'key\"", "BOARD_TOKEN": "a-board's-token"}

_PERSONAL = re.compile(r"HOME$|XDG_|STEER_|SSH_|GIT_(DIR|WORK_TREE|CONFIG)|PYTHONDONT")

Document = dict[str, Any]


@dataclass(frozen=True)
class Ran:
    """How one command line ended."""

    code: int
    out: str
    err: str

    @property
    def said(self) -> str:
        return f"exit code {self.code}\n{self.out}{self.err}"


class Steer:
    """One person's `steer`: a state, a home and a folder of manifests of its own."""

    def __init__(self, folder: Path, cache: Path, lab: Lab | None = None) -> None:
        self.folder = folder
        self.lab = lab
        # The rest stays: it says how this machine reaches its package index.
        self.env = {
            **{key: value for key, value in os.environ.items() if not _PERSONAL.match(key)},
            "HOME": str(folder / "home"),
            "XDG_CONFIG_HOME": os.environ.get("XDG_CONFIG_HOME", str(Path.home() / ".config")),
            "XDG_STATE_HOME": str(folder / "state"),
            "XDG_CACHE_HOME": str(cache),
            **SECRETS,
        }
        (folder / "home").mkdir()

    def run(self, *args: str, expect: int | None = 0, env: Mapping[str, str] | None = None) -> Ran:
        """Return how `steer ARGS` ended; any exit code but `expect` fails the test."""
        done = subprocess.run(
            [sys.executable, "-m", "steersman.cli", *args],
            cwd=self.folder,
            env={**self.env, **(env or {})},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=240,
            check=False,
        )
        ran = Ran(done.returncode, done.stdout, done.stderr)
        if expect is not None:
            assert ran.code == expect, f"steer {' '.join(args)}: {ran.said}"
        return ran

    def started(self, *args: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        """Start `steer ARGS` without waiting for its end."""
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "steersman.cli", *args]
        own = {**self.env, **(env or {})}
        return subprocess.Popen(
            command, cwd=self.folder, env=own, stdout=pipe, stderr=pipe, text=True
        )

    def write(self, name: str, *documents: Document) -> str:
        """Write manifests; return the file's path for `-f`."""
        path = self.folder / name
        path.write_text(yaml.safe_dump_all(documents, sort_keys=False))
        return str(path)

    def apply(self, *documents: Document, expect: int | None = 0, **env: str) -> Ran:
        file = self.write("applied.yaml", *documents)
        return self.run("apply", "-f", file, expect=expect, env=env)

    def hosts(self, *chosen: Host, user: str = "root") -> list[Document]:
        """Return the Host manifests of the hosts, all of the lab's when none is named."""
        assert self.lab is not None
        return [
            yaml.safe_load(reach.manifest(host, self.lab.key, user))
            for host in chosen or self.lab.hosts
        ]


class Repo:
    """A git repository; every change of `VERSION` is a new revision."""

    def __init__(self, folder: Path, files: Path | Mapping[str, str]) -> None:
        self.path = folder
        if isinstance(files, Path):
            shutil.copytree(files, folder, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            folder.mkdir(parents=True)
        self._git("init", "-q", "-b", "main")
        self.commit(files if isinstance(files, Mapping) else {})

    def commit(self, files: Mapping[str, str]) -> str:
        """Write the files, commit everything and return the commit."""
        for name, text in files.items():
            path = self.path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self._git("add", "--all")
        self._git("commit", "-q", "--allow-empty", "-m", "as it is now")
        return self._git("rev-parse", "HEAD").strip()

    def release(self, version: str) -> str:
        return self.commit({"VERSION": f"{version}\n"})

    def tag(self, name: str) -> None:
        self._git("tag", name)

    def _git(self, *args: str) -> str:
        env = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", **AS_NOBODY_WE_KNOW}
        return run(["git", "-C", str(self.path), *args], env=env)


def example(name: str, repo: Repo) -> tuple[Document, list[Document]]:
    """Return the App of an example, with its code from `repo`, and the Secrets beside it."""
    folder = EXAMPLES / name
    app: Document = yaml.safe_load((folder / "app.yaml").read_text())
    app["spec"]["source"] = _source(repo)
    secret = folder / "secret.yaml"
    return app, [yaml.safe_load(secret.read_text())] if secret.exists() else []


def app(name: str, repo: Repo, **spec: Any) -> Document:
    """Return an App's manifest: the pulse on gunicorn, unless `spec` says otherwise."""
    usual = {
        "source": _source(repo),
        "processes": {"web": {"command": "gunicorn app:app", "port": "http"}},
        "routes": [{"host": f"{name}.example.com", "process": "web"}],
    }
    return {
        "apiVersion": "steersman/v1",
        "kind": "App",
        "metadata": {"name": name},
        "spec": {**usual, **spec},
    }


def _source(repo: Repo, ref: str = "main") -> Document:
    return {"git": {"url": str(repo.path), "ref": ref}}


def changes(before: seen.Snapshot, host: Host) -> list[str]:
    """Return what differs on the host now, but for the fence, which each changing apply moves."""
    fence = ("file /srv/steersman/epoch:", "file /srv/steersman/lock:")
    told = before.changes(seen.snapshot(host))
    return [line for line in told if not line.startswith(fence)]


def scrub(host: Host) -> None:
    """Remove by force whatever a test left on the host, however it failed."""
    ours = [name for name in seen.units(host) if name.startswith("steersman-")]
    if ours:
        host.run(["systemctl", "stop", *ours])
    for folder in _PLACES:
        for path in [
            *(host.root / folder).glob("steersman*"),
            *(host.root / folder).glob("test-*"),
        ]:
            host.run(["rm", "-rf", f"/{folder}/{path.name}"])
    for line in (host.root / "etc/passwd").read_text().splitlines():
        if line.startswith("app-"):
            host.run(["userdel", line.partition(":")[0]])
    host.run(["systemctl", "daemon-reload"])
    host.run(["systemctl", "reset-failed"])
    host.run(["systemctl", "restart", "nginx"])


_PLACES = (
    "srv",
    "run",
    "etc/nginx/conf.d",
    "etc/tmpfiles.d",
    "etc/systemd/system/multi-user.target.wants",
    "etc/systemd/system",
)
