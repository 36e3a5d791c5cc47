"""Secrets are seen nowhere: canaries go through every verb, and then everything is searched."""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import os
import secrets
import stat
import tempfile
import threading
import urllib.parse
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from acceptance.steer import Document, Ran, Repo, Steer, scrub
from lab.host import Host
from lab.lab import Lab
from steersman.api.objects import dump_object
from steersman.api.secret import MASK
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


@pytest.fixture(scope="module", params=["embedded", pytest.param("lab", marks=pytest.mark.lab)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "embedded":
        with tempfile.TemporaryDirectory(prefix="steer-") as folder:
            yield from embedded(Path(folder, "h"))
        return
    lab: Lab = request.getfixturevalue("lab")
    host = lab.hosts[0]
    yield on_lab(host, lab)
    scrub(host)


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
    from lab import reach

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


@pytest.fixture(scope="module")
def watcher() -> Iterator[Watcher]:
    made = Watcher()
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.end()
    thread.join()


@pytest.fixture(scope="module")
def scene(
    place: Place, watcher: Watcher, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Scene:
    """Deploy, rotate, and fail in the ways that show an app's output."""
    folder = tmp_path_factory.mktemp("canary")
    repos = {
        name: Repo(folder / "repos" / name, {"main.py": LIVE, "requirements.txt": ""})
        for name in ("quiet", "loud", "other")
    }
    steer = Steer(folder, folder / "cache")
    made = Scene(steer, place, repos)
    made.manifests.mkdir(mode=0o700)
    (made.manifests / "host.yaml").write_text(yaml.safe_dump(place.manifest))
    for name, repo in repos.items():
        words = "python main.py" + (" loud" if name == "loud" else "")
        app = document(
            "App",
            name,
            source={"git": {"url": str(repo.path), "ref": "main"}},
            processes={"worker": {"command": words}},
            config={"secrets": [] if name == "other" else [name]},
            rollout={"minReadySeconds": 0},
        )
        (made.manifests / f"{name}.yaml").write_text(yaml.safe_dump(app))
    for name in ("quiet", "loud"):
        made.plant(name)
    watcher.wanted = [each for value in made.planted() for each in needles(value)]
    made.run("diff", "-f", str(made.manifests), expect=1)
    made.apply()
    return made


def test_1_a_new_value_makes_new_releases_of_exactly_the_apps_that_use_it(
    scene: Scene, watcher: Watcher
) -> None:
    assert [scene.states(name) for name in scene.repos] == [["deployed"]] * 3
    before = scene.run("describe", "secret/quiet").out
    scene.plant("quiet")
    watcher.wanted = [each for value in scene.planted() for each in needles(value)]
    shown = scene.run("diff", "-f", str(scene.manifests), expect=1).out
    assert shown.count("hmac-sha256:") == 2 * len(KEYS), shown
    scene.apply()
    assert scene.states("quiet") == ["superseded", "deployed"]
    assert scene.states("loud") == scene.states("other") == ["deployed"]
    after = scene.run("describe", "secret/quiet").out
    assert "(the newest)" in after and "quiet   2" in after, after
    assert before.splitlines()[-6:] != after.splitlines()[-6:]
    assert "unchanged" in scene.apply().out


def test_2_a_failing_gate_shows_what_the_app_said_without_its_secrets(scene: Scene) -> None:
    scene.repos["loud"].commit({"main.py": CRASH})
    failed = scene.apply(expect=1)
    assert "its last lines" in failed.err and "my SEALED is " + MASK in failed.err, failed.said
    assert scene.states("loud") == ["deployed", "rejected"]


def test_3_a_failing_release_command_is_shown_without_its_secrets(scene: Scene) -> None:
    file = scene.manifests / "loud.yaml"
    app = yaml.safe_load(file.read_text())
    app["spec"]["release"] = {"command": ["python", "main.py"]}
    file.write_text(yaml.safe_dump(app))
    failed = scene.apply(expect=1)
    assert "release command exited with 3" in failed.err, failed.said
    assert "my SEALED is " + MASK in failed.err
    scene.repos["loud"].commit({"main.py": LIVE})
    del app["spec"]["release"]
    file.write_text(yaml.safe_dump(app))
    scene.apply()


def test_4_a_bad_value_is_taken_back_and_the_old_release_keeps_its_own(scene: Scene) -> None:
    """The old release starts with its own values again, also after a reboot."""
    good, envs = scene.loud[-3:], env_files(scene.place, "loud")
    was = {path: path.read_bytes() for path in envs}
    digest = hashlib.sha256(good[1].encode()).hexdigest()
    check = "import hashlib\nseen = hashlib.sha256(os.environ['FILED'].encode()).hexdigest()\n"
    picky = LIVE.replace("time.sleep", f"{check}assert seen == {digest!r}\ntime.sleep")
    scene.repos["loud"].commit({"main.py": picky})
    scene.apply()
    (running,) = env_files(scene.place, "loud") - envs
    was[running] = running.read_bytes()
    scene.plant("loud")
    failed = scene.apply(expect=1)
    assert "was rejected" in failed.err
    assert running.read_bytes() == was[running]
    again = scene.apply(expect=1)
    assert "is not tried again" in again.err
    assert running.read_bytes() == was[running]


def test_5_every_way_to_look_shows_none(scene: Scene) -> None:
    for name in ("quiet", "loud"):
        scene.run("describe", f"app/{name}", f"secret/{name}")
        scene.run("rollout", "status", f"app/{name}", expect=None)
        for number in range(1, len(scene.states(name)) + 1):
            scene.run("rollout", "history", f"app/{name}", f"--revision={number}")
            scene.run("describe", f"release/{name}-{number}")
        scene.run("diff", f"app/{name}", expect=None)
        masked = scene.run("logs", f"app/{name}", "--tail", "200").out
        assert (MASK in masked) == (name == "loud"), masked
    for output in ("wide", "json", "yaml"):
        for kind in ("all", "events"):
            scene.run("get", kind, "-o", output)
    refused = scene.run("secret", "reveal", "secret/quiet", expect=1)
    assert "--piped" in refused.err
    revealed = scene.steer.run("secret", "reveal", "secret/quiet", "--piped", "SEALED").out
    assert revealed == scene.quiet[-3] + "\n"


def test_6_nothing_that_was_said_holds_a_value(scene: Scene) -> None:
    text = "\n".join(scene.said).encode()
    assert len(text) > 10_000 and b"hmac-sha256:" in text
    assert [one for value in scene.planted() for one in needles(value) if one in text] == []


def test_7_no_command_line_held_a_value(scene: Scene, watcher: Watcher) -> None:
    assert watcher.looks > 50
    assert watcher.found == set()


def test_8_the_controller_keeps_none_in_the_clear(scene: Scene) -> None:
    state = scene.steer.folder / "state"
    for folder in (state, scene.steer.folder / "cache"):
        assert holders([folder], scene.planted()) == {}
    modes = {stat.S_IMODE(p.lstat().st_mode) for p in state.rglob("*") if p.is_file()}
    assert modes == {0o600}


def test_9_hosts_hold_them_only_where_the_supervisor_reads_them(scene: Scene) -> None:
    place = scene.place
    allowed = env_files(place, "quiet") | env_files(place, "loud")
    held = holders(place.folders, scene.quiet)
    assert held and set(held) <= allowed, set(held) - allowed
    for path in allowed:
        seen = path.stat()
        assert stat.S_IMODE(seen.st_mode) == 0o600
        assert not place.is_system or seen.st_uid == seen.st_gid == 0
    # An app that prints its secrets has them in its own log, which only its admins read.
    elsewhere = set(holders(place.folders, scene.loud)) - allowed
    assert all(any(log in path.parents for log in place.logs) for path in elsewhere), elsewhere
    assert [path for path in elsewhere if is_open(path, place.folders)] == []
    said = place.said()
    assert [one for value in scene.quiet for one in needles(value) if one in said] == []


def is_open(path: Path, tops: list[Path]) -> bool:
    """Return whether every user can read a file, through the folders below one of `tops`."""
    folders = [each for each in path.parents if any(top in each.parents for top in tops)]
    may_pass = all(each.stat().st_mode & stat.S_IXOTH for each in folders)
    return may_pass and bool(path.stat().st_mode & stat.S_IROTH)


def env_files(place: Place, app: str) -> set[Path]:
    return {path for top in place.folders for path in top.rglob(f"apps/{app}/env/*")}


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
                data = path.read_bytes()
                first = next((one for one in wanted if one in data), None)
                if first is not None:
                    found[path] = first
    return found
