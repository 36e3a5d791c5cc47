"""Real pushes: git and ssh as people have them, against an endpoint in this process."""

from __future__ import annotations

import asyncio
import os
import subprocess
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from builds_lab.repositories import Repository
from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.builds import Builder
from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts
from steersman.control.relay import Relay
from steersman.control.session import Session
from steersman.manifests import Sourced
from steersman.sealing.keyring import Keyring
from steersman.server.git.config import Git, GitKey
from steersman.server.git.deploys import Deploys
from steersman.server.git.depot import Depot
from steersman.server.git.endpoint import serving
from steersman.server.git.progress import QUIET, Remote
from steersman.server.git.push import Judge
from steersman.store.sqlite import SqliteStore
from steersman.transport.git_server import Listening


@dataclass(frozen=True)
class Said:
    """How a program ended, and what it printed."""

    code: int
    text: str


class Pusher:
    """A person with a key and a working copy."""

    def __init__(self, folder: Path, name: str) -> None:
        self.key = folder / name
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(self.key)],
            check=True,
        )
        self.public = self.key.with_suffix(".pub").read_text().strip()
        self.copy = Repository(folder / f"{name}-copy")
        self._known = folder / "known_hosts"
        self.port = 0

    def meet(self, listening: Listening) -> None:
        self.port = listening.port
        self._known.write_text(f"[127.0.0.1]:{listening.port} {listening.public_key}\n")

    def ssh_words(self, *words: str) -> list[str]:
        options = [
            *("-F", "none", "-i", str(self.key), "-o", "IdentitiesOnly=yes"),
            *("-o", "BatchMode=yes", "-o", "StrictHostKeyChecking=yes", "-o", "LogLevel=ERROR"),
            *("-o", f"UserKnownHostsFile={self._known}", "-p", str(self.port)),
        ]
        return ["ssh", *options, *words]

    def connections(self) -> list[int]:
        """Return the pids of this person's ssh."""
        found = []
        for folder in Path("/proc").glob("[0-9]*"):
            with suppress(OSError):
                words = (folder / "cmdline").read_bytes().split(b"\0")
                if words[0] == b"ssh" and os.fsencode(self.key) in words:
                    found.append(int(folder.name))
        return found

    async def ssh(self, *words: str, stdin: bytes = b"") -> Said:
        """Run ssh to the endpoint."""
        return await ran(self.ssh_words(*words), stdin)

    def url(self, app: str) -> str:
        return f"ssh://git@127.0.0.1:{self.port}/{app}"

    async def git(self, *words: str, stdin: bytes = b"") -> Said:
        env = {"GIT_SSH_COMMAND": " ".join(self.ssh_words()), "GIT_TERMINAL_PROMPT": "0"}
        return await ran(["git", "-C", str(self.copy.folder), *words], stdin, env)

    async def push(self, app: str, *words: str) -> Said:
        return await self.git("push", self.url(app), *(words or ("main",)))


async def ran(argv: Sequence[str], stdin: bytes, env: dict[str, str] | None = None) -> Said:
    base = {"PATH": os.environ["PATH"], "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    child = await asyncio.create_subprocess_exec(
        *argv,
        env=base | (env or {}),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    out, _ = await child.communicate(stdin)
    return Said(child.returncode or 0, out.decode("utf-8", "replace"))


class FakeDeploys(Deploys):
    """Deploys nowhere: remembers what was asked, and fails or waits as a test wants it."""

    def prepare(self) -> FakeDeploys:
        self.deployed: list[tuple[str, str, list[str], bool]] = []
        self.built: list[str] = []
        self.fault: Exception | None = None
        self.began = asyncio.Event()
        self.may_end = asyncio.Event()
        self.may_end.set()
        self.at_once = self.most_at_once = self.ended = 0
        self.gives_up = self.given_up = False
        self.overtaken_by: list[str] = []
        self.overtaken = asyncio.Event()
        return self

    async def overtake(self, app: str, commit: str) -> None:
        self.overtaken_by.append(commit)
        self.overtaken.set()
        if self.gives_up:
            self.given_up = True
            self.may_end.set()

    async def build(self, app: App, remote: Remote) -> None:
        self.built.append((await self._artifacts.resolve(app.spec.source)).commit)
        remote.said(app.name, "building what was pushed")
        await self._wait()

    async def deploy(
        self, app: str, sourced: Sequence[Sourced], remote: Remote, *, or_undo: bool
    ) -> None:
        now = await self._memory.app(app)
        commit = (await self._artifacts.resolve(now.spec.source)).commit
        keys = [each.obj.key for each in sourced]
        self.deployed.append((app, commit, keys, or_undo))
        remote.said(app, f"deploying {commit[:12]}")
        await self._wait()

    async def _wait(self) -> None:
        self.at_once += 1
        self.most_at_once = max(self.at_once, self.most_at_once)
        self.began.set()
        try:
            await self.may_end.wait()
        finally:
            self.at_once -= 1
        if self.given_up:
            self.given_up = False
            raise SteersmanError("the rollout was cancelled")
        if self.fault is not None:
            raise self.fault
        self.ended += 1


@dataclass
class Lab:
    """An endpoint with the apps shop and blog, and people who push to them."""

    store: SqliteStore
    session: Session
    depot: Depot
    deploys: FakeDeploys
    judge: Judge
    ann: Pusher
    eve: Pusher
    woken: list[str] = field(default_factory=list)
    listening: Listening | None = None

    async def app(self, name: str, **spec: Any) -> None:
        """Remember an app whose source is its repository here."""
        ref = spec.pop("ref", "main")
        path = spec.pop("path", None)
        git = {"url": str(self.depot.path(name)), "ref": ref}
        source = {"git": git | ({"path": path} if path else {})}
        obj = {"apiVersion": "steersman/v1", "kind": "App", "metadata": {"name": name}}
        await self.store.put({**obj, "spec": {"source": source, **spec}})
        await self.depot.create(name, ref)

    async def at(self, ref: str, app: str = "shop") -> str | None:
        """Return where a ref of the repository is."""
        code, text = await self.depot.ask(app, ["rev-parse", "--verify", "--quiet", ref])
        return text.decode().strip() if code == 0 else None


@asynccontextmanager
async def opened(folder: Path, quiet: float = QUIET, **config: Any) -> AsyncIterator[Lab]:
    folder.mkdir(exist_ok=True)
    ann, eve = Pusher(folder, "ann"), Pusher(folder, "eve")
    keys = {
        "ann": GitKey(key=ann.public, apps=("shop",)),
        "eve": GitKey(key=eve.public, apps=("blog", "nothing-yet")),
    }
    git = Git(listen="127.0.0.1:0", keys=config.pop("keys", keys), **config)
    relay, keyring = Relay(), Keyring(folder / "age.key")
    async with SqliteStore(folder / "state") as store:
        session = Session(store, relay, folder / "cache", keys=keyring, use_ssh_config=False)
        artifacts = Artifacts(Builder(folder / "cache", {"PATH": os.environ["PATH"]}))
        controller = Controller(session, artifacts)
        depot = Depot(folder / "state" / "git", os.environ)
        depot.prepare()
        deploys = FakeDeploys(session, controller, artifacts, relay, keyring).prepare()
        woken: list[str] = []
        judge = Judge(depot, deploys, woken.append, gate=git.gate, max_tree=git.max_tree)
        lab = Lab(store, session, depot, deploys, judge, ann, eve, woken)
        await lab.app("shop")
        await lab.app("blog")
        async with serving(git, depot, judge, quiet) as listening:
            lab.listening = listening
            for person in (ann, eve):
                person.meet(listening)
            yield lab
        await session.close()
