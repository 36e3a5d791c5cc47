"""One real host and what a law needs of it: releases to deploy, and a look at what came of it."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import urllib.request
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.release import Release
from steersman.builds.blobs import BlobStore
from steersman.control.converge import Converged, converge
from steersman.control.hosts import HostLink
from steersman.control.report import Silent
from steersman.control.session import Session
from steersman.control.target import Wanted, app_gone, app_target
from steersman.planning.app import plan_app
from steersman.planning.retiring import plan_absent
from steersman.planning.seen import HostSeen
from steersman.planning.steps import Step
from steersman.planning.target import BuildTarget
from steersman.sealing.keyring import KEY_FILE, Keyring
from steersman.store.sqlite import SqliteStore

SOURCE = Path(__file__).with_name("app") / "serve.py"
COMMANDS = {
    "socket": "python serve.py $LISTEN_FDS",
    "path": "python serve.py $SOCKET",
    "port": "python serve.py $PORT",
}


@dataclass
class Bench:
    """A host by its link; `url` is its proxy's."""

    link: HostLink
    url: str
    blobs: BlobStore

    @property
    def root(self) -> Path:
        return Path(self.link.layout.root)

    @property
    def run(self) -> Path:
        return Path(self.link.layout.run)

    def wanted(
        self, app: str, number: int, way: str = "socket", count: int = 2, **changes: Any
    ) -> Wanted:
        """Return a release of an app that serves `http://<app>.test/`; `env` makes it fail."""
        env = {"RELEASE": str(number), **changes.get("env", {})}
        process = {
            "command": changes.get("command", COMMANDS[way]),
            "count": count,
            "port": "http",
            "health": {"http": "/", "interval": "200ms", "failures": 3},
            "stop": {"timeout": "5s"},
        }
        host = changes.get("host", f"{app}.test")
        route = {"host": host, "path": "/", "process": "web"}
        files = {"host": host, "path": "/files/", "directory": "static"}
        spec = {
            "source": {"path": "."},
            "config": {"env": env},
            "processes": {"web": process},
            "routes": [route, files],
            "rollout": {"progressDeadlineSeconds": 30},
        }
        build = self._build(number)
        template = {"config": {"env": env}, "processes": {"web": dict(process)}}
        del template["processes"]["web"]["count"]
        release = {
            "app": app,
            "number": number,
            "source": {"path": "."},
            "content": build.digest,
            "builds": {},
            "digest": hashlib.sha256(f"{app}{number}{env}".encode()).hexdigest(),
            "template": template,
        }
        return Wanted(
            App.model_validate(_object("App", app, spec)),
            Release.model_validate(_object("Release", f"{app}-{number}", release)),
            build,
            {"TOKEN": token_of(app)},
            frozenset(),
        )

    def _build(self, number: int) -> BuildTarget:
        source = self.blobs.add_file(SOURCE)
        text = self.blobs.add_bytes(f"release {number}\n".encode())
        listed = {
            "files": [
                ["serve.py", 0o644, source.sha256],
                ["static/release.txt", 0o644, text.sha256],
            ],
            "links": [],
            "packs": [],
            "compiled": True,
        }
        manifest = self.blobs.add_bytes(json.dumps(listed).encode())
        used = (source.sha256, text.sha256, manifest.sha256)
        python = str(self.link.hello["python"])
        return BuildTarget(manifest.sha256, manifest.sha256, python, used)

    def plan(self, wanted: Wanted, seen: HostSeen) -> tuple[Step, ...]:
        return plan_app(app_target(wanted, self.link.host.spec, self.link.facts, seen), seen)

    async def deploy(self, wanted: Wanted) -> Converged:
        name = wanted.app.name
        return await converge(self.link, name, lambda seen: self.plan(wanted, seen), Silent())

    async def step(self, app: str, step: Step, number: int, of: int) -> None:
        await self.link.apply(app, step, number, of, Silent())

    async def remove(self, app: App) -> Converged:
        gone = app_gone(app, self.link.host.spec, self.link.facts)
        return await converge(self.link, app.name, lambda seen: plan_absent(gone, seen), Silent())

    async def units(self, app: str) -> dict[str, str]:
        """Return {unit: active state} without the part of the names that all share."""
        units = (await self.link.observe()).units_of(app)
        return {name.removeprefix(f"steersman-{app}."): state for name, (state, _) in units.items()}

    async def pids(self, app: str) -> dict[str, int]:
        """Return the main pid of each instance."""
        units = [u for u in (await self.link.observe()).units_of(app) if "@" in u]
        answer = (await self.link.link.call("details", names=units)).header["units"]
        return {name: int(details["pid"]) for name, details in answer.items()}

    async def get(self, app: str, path: str = "/") -> tuple[str, Mapping[str, str]]:
        return await asyncio.to_thread(_get, self.url + path, f"{app}.test")

    def left_of(self, app: str) -> list[str]:
        """Return every path and process that still tells of `app`."""
        tops = (self.root, self.run)
        names = [str(p) for top in tops for p in top.rglob(f"*{app}*")]
        # This machine's other processes may well speak of "gone": only those of this host count.
        here = [told for told in processes() if any(str(top) in told for top in tops)]
        return sorted(names) + [told for told in here if app in told]


def token_of(app: str) -> str:
    """Return an app's secret: with everything in it that somebody could take for syntax."""
    return f"secret-of-{app} 'quoted' \"$HOME\" \\ #;% ${{PATH}} %(here)s `id`"


def processes() -> list[str]:
    """Return each process's arguments and working folder, as one text."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            words = (process / "cmdline").read_bytes().replace(b"\0", b" ")
            found.append(f"{os.fsdecode(words)}in {os.readlink(process / 'cwd')}")
        except (FileNotFoundError, ProcessLookupError, PermissionError):
            continue  # it ended meanwhile, or is somebody else's
    return found


def _object(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    return {"apiVersion": "steersman/v1", "kind": kind, "metadata": {"name": name}, "spec": spec}


def _get(url: str, host: str) -> tuple[str, Mapping[str, str]]:
    request = urllib.request.Request(url, headers={"Host": host})
    with urllib.request.urlopen(request, timeout=10) as answer:
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return answer.read().decode(), headers


@asynccontextmanager
async def opened(host: Host, url: str, folder: Path) -> AsyncIterator[Bench]:
    """Connect to `host` as `steer` does, with a memory of its own in `folder`."""
    async with SqliteStore(folder / "state") as store:
        session = Session(
            store, Silent(), folder, use_ssh_config=False, keys=Keyring(folder / KEY_FILE)
        )
        try:
            link = await session.connect(host, {host.name: host})
            yield Bench(link, url, session.blobs)
        finally:
            await session.close()
