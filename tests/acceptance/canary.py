"""What a canary test works with: values that are like no other, and searches for them."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import secrets
import stat
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from acceptance.steer import Document, Ran, Repo, Steer
from lab import reach
from lab.host import Host
from lab.lab import Lab
from steersman.api.objects import dump_object
from steersman.embedded.host import embedded_host

MAIN = """\
import base64, os, sys, time, urllib.parse

def confess():
    for name in ("SEALED", "FILED", "ASKED"):
        value = os.environ[name]
        print("my", name, "is", value, repr(value), flush=True)
        print(base64.b64encode(f"me:{value}".encode()).decode(), flush=True)
        print("db://me:" + urllib.parse.quote(value, safe="") + "@db", flush=True)

"""
LIVE = MAIN + "if sys.argv[1:] == ['loud']: confess()\ntime.sleep(3600)\n"
CRASH = MAIN + "confess()\nsys.exit(3)\n"
KEYS = ("SEALED", "FILED", "ASKED")


def canary() -> str:
    """Return a value that looks different in every form, and is like no other."""
    return f"c4n4ry {secrets.token_hex(12)}/+&\"ü$'"


def needles(value: str) -> list[bytes]:
    """Return what to search for: a part of each form that nothing else can hold."""
    data = value.encode()
    inner = [base64.b64encode(b"\0" * n + data)[4:-4] for n in range(3)]
    quoted = [urllib.parse.quote(value, safe=""), urllib.parse.quote_plus(value)]
    plain = [value, value[7:31], json.dumps(value)[1:-1], *quoted]
    return [*(each.encode() for each in plain), *inner, data.hex().encode()]


@dataclass
class Watcher:
    """Reads every command line of the machine again and again, as `ps` would show it."""

    found: set[bytes] = field(default_factory=set)
    wanted: list[bytes] = field(default_factory=list)
    looks: int = 0
    _is_over: threading.Event = field(default_factory=threading.Event)

    def run(self) -> None:
        while not self._is_over.wait(0.01):
            self.looks += 1
            for pid in filter(str.isdigit, os.listdir("/proc")):
                try:
                    words = Path("/proc", pid, "cmdline").read_bytes()
                except (FileNotFoundError, ProcessLookupError):
                    continue
                if any(each in words for each in self.wanted):
                    self.found.add(words)

    def end(self) -> None:
        self._is_over.set()


@dataclass
class Place:
    """A host to deploy to: its manifest, the folders it may write to, and its logs."""

    manifest: Document
    folders: list[Path]
    said: Callable[[], bytes]
    logs: list[Path]
    is_system: bool


def embedded(folder: Path) -> Iterator[Place]:
    """Run an embedded host on a loop in a thread of its own."""
    ready: asyncio.Queue[Document] = asyncio.Queue()
    loop, over = asyncio.new_event_loop(), asyncio.Event()

    async def serve() -> None:
        async with embedded_host(folder) as running:
            ready.put_nowait(dump_object(running.host))
            await over.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=[serve()])
    thread.start()
    manifest = asyncio.run_coroutine_threadsafe(ready.get(), loop).result(60)
    root = Path(manifest["spec"]["root"])
    try:
        yield Place(manifest, [folder], lambda: b"", [root / "apps/loud/log"], False)
    finally:
        loop.call_soon_threadsafe(over.set)
        thread.join(90)
        loop.close()


def on_lab(host: Host, lab: Lab) -> Place:
    def said() -> bytes:
        units = host.run(["systemctl", "show", "steersman-*"])
        journal = host.run(["journalctl", "--all", "-o", "json", "--no-pager"])
        return (units + journal).encode()

    top = ("etc", "run/steersman", "srv", "usr/local", "var", "tmp", "root", "home", "dev/shm")
    manifest = yaml.safe_load(reach.manifest(host, lab.key, "root"))
    journal = [host.root / "var/log/journal"]
    return Place(manifest, [host.root / each for each in top], said, journal, True)


@dataclass
class Scene:
    """Three apps, two of which use the secret; everything that was said, and the canaries.

    `quiet` never prints its secrets, `loud` prints them in every form, `other` has none.
    """

    steer: Steer
    place: Place
    repos: dict[str, Repo]
    quiet: list[str] = field(default_factory=list)
    loud: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)

    @property
    def manifests(self) -> Path:
        return self.steer.folder / "manifests"

    def run(self, *args: str, expect: int | None = 0) -> Ran:
        ran = self.steer.run(*args, expect=expect, env={"STEER_DEBUG": "1"})
        self.said.append(ran.out + ran.err)
        return ran

    def apply(self, expect: int = 0) -> Ran:
        return self.run("apply", "-v", "-f", str(self.manifests), expect=expect)

    def plant(self, name: str) -> None:
        """Give a secret new values: one sealed, one in a file, one that a command prints."""
        values = [canary() for _ in KEYS]
        (self.quiet if name == "quiet" else self.loud).extend(values)
        folder = self.steer.folder / name
        folder.mkdir(exist_ok=True, mode=0o700)
        (folder / "asked").write_text(values[2] + "\n")
        (self.manifests / f"{name}.key").write_text(values[1] + "\n")
        data = {
            "SEALED": {"value": values[0]},
            "FILED": {"fromFile": f"{name}.key"},
            "ASKED": {"fromExec": ["cat", str(folder / "asked")]},
        }
        file = self.manifests / f"{name}-secret.yaml"
        file.write_text(yaml.safe_dump(document("Secret", name, data=data)))
        self.run("secret", "seal", "-f", str(file))
        assert values[0] not in file.read_text()

    def states(self, app: str) -> list[str]:
        rows = self.run("rollout", "history", f"app/{app}").out.splitlines()[2:]
        return [row.split()[1] for row in rows]

    def planted(self) -> list[str]:
        return [*self.quiet, *self.loud]


def document(kind: str, name: str, **spec: Any) -> Document:
    meta = {"apiVersion": "steersman/v1", "kind": kind, "metadata": {"name": name}}
    return {**meta, "spec": spec}


def is_open(path: Path, tops: list[Path]) -> bool:
    """Return whether every user can read a file, through the folders below one of `tops`."""
    folders = [each for each in path.parents if any(top in each.parents for top in tops)]
    may_pass = all(each.stat().st_mode & stat.S_IXOTH for each in folders)
    return may_pass and bool(path.stat().st_mode & stat.S_IROTH)


def env_files(place: Place, app: str) -> set[Path]:
    # Other folders come and go on a host that lives, which `rglob` does not forgive.
    below = [Path(folder) for top in place.folders for folder, _, _ in os.walk(top)]
    return {
        path for folder in below if folder.match(f"apps/{app}/env") for path in folder.iterdir()
    }


def holders(folders: list[Path], values: list[str]) -> dict[Path, bytes]:
    """Return each file below `folders` that holds one of the values, in any form."""
    wanted = [one for value in values for one in needles(value)]
    found = {}
    for top in folders:
        for folder, _, names in os.walk(top):
            for name in names:
                path = Path(folder, name)
                if path.is_symlink() or not path.is_file():
                    continue
                try:
                    data = path.read_bytes()
                except FileNotFoundError:
                    continue
                first = next((one for one in wanted if one in data), None)
                if first is not None:
                    found[path] = first
    return found
