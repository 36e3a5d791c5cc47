"""Where programs of strangers run during a build: steps, and whatever builds a package.

As root each gets walls (see jail.py): a user of nobody's, and of the machine's files only its
programs and what the build is given. Where that cannot be, it is refused, or runs as who we are.
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import secrets
import signal
import sys
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from urllib.parse import unquote

from uv import find_uv_bin

from steersman.builds import jail
from steersman.builds.cache import Cache
from steersman.builds.children import Finished, Progress, run
from steersman.builds.environment import index_environment
from steersman.builds.errors import WallsMissing
from steersman.builds.text import printable

SECONDS = 3600.0
"""How long one program of a build may take."""

# Users that no passwd, container manager or systemd gives out (systemd's UIDS-GIDS: unused).
_FIRST_UID, _UIDS = 1_900_000_000, 1 << 24
_PATHS = re.compile(r"(?:^|[\s,]|file://)(/[^\s,]+)")

Policy = Literal["required", "preferred"]
"""Whether a program of strangers may run without walls: never, or where there can be none."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A place for the programs of one build; `home` and `tmp` are theirs, `uid` who they are."""

    root: Path
    writable: Sequence[Path]
    shown: Sequence[Path]
    hidden: Sequence[Path]
    uid: int | None

    @property
    def is_walled(self) -> bool:
        return self.uid is not None

    @property
    def home(self) -> Path:
        return self.root / "home"

    @property
    def tmp(self) -> Path:
        return self.root / "tmp"

    async def run(
        self,
        argv: Sequence[str],
        *,
        env: Mapping[str, str],
        cwd: Path,
        progress: Progress | None = None,
        merge: bool = False,
        shown: Sequence[Path] = (),
    ) -> Finished:
        """Run a program of strangers to its end; `shown` is what else it may read."""
        if self.uid is not None:
            walls = json.dumps(self._walls(cwd, shown))
            argv = [sys.executable, "-I", "-S", jail.__file__, walls, *argv]
            env, cwd = self._env(env), self.root
        try:
            async with asyncio.timeout(SECONDS):
                return await run(argv, env=env, cwd=cwd, progress=progress, merge=merge)
        except TimeoutError:
            return Finished(-signal.SIGKILL, b"", (f"it did not end within {SECONDS:g} s",))

    def _env(self, env: Mapping[str, str]) -> dict[str, str]:
        """Return an environment with a home of its own: caches that others share are not in it."""
        shared = ("XDG_", "PIP_CACHE_DIR", "UV_CACHE_DIR")
        kept = {name: value for name, value in env.items() if not name.startswith(shared)}
        return kept | {"HOME": str(self.home), "TMPDIR": jail.TMP, "USER": "build"}

    def _walls(self, cwd: Path, shown: Sequence[Path]) -> dict[str, object]:
        return {
            "root": str(self.root / "view"),
            "tmp": str(self.tmp),
            "passwd": str(self.root / "passwd"),
            "uid": self.uid,
            "cwd": str(cwd),
            "shown": [str(path) for path in (*self.shown, *shown)],
            "hidden": [str(path) for path in self.hidden],
            "writable": [str(path) for path in (self.home, *self.writable)],
        }


class Walls:
    """What keeps programs of strangers in on this machine, if it can and `policy` wants it."""

    def __init__(self, cache: Cache, environ: Mapping[str, str], policy: Policy) -> None:
        self.cache = cache
        self.policy = policy
        self._environ = environ
        self._missing: str | None = None
        self._is_known = False

    async def missing(self) -> str | None:
        """Return why there can be no walls here, or None; found out once."""
        if not self._is_known:
            self._missing, self._is_known = await self._probe(), True
        return self._missing

    async def _probe(self) -> str | None:
        if os.geteuid() != 0:
            return "this is not root"
        with self.cache.scratch() as root:
            cell = self.furnish(root, (), is_walled=True)
            done = await cell.run(["true"], env={"PATH": os.defpath}, cwd=cell.home)
        return None if done.code == 0 else printable(done.last)

    def furnish(self, root: Path, writable: Sequence[Path], *, is_walled: bool) -> Cell:
        uid = _FIRST_UID + secrets.randbelow(_UIDS) if is_walled else None
        shown = [path for path in self._shown() if path.exists()]
        cell = Cell(root, writable, shown, self._hidden(), uid)
        for folder in (cell.home, cell.tmp, root / "view"):
            folder.mkdir()
        if uid is not None:
            users = f"root:x:0:0::/root:/bin/sh\nbuild:x:{uid}:{uid}::{cell.home}:/bin/sh\n"
            (root / "passwd").write_text(users)
            (root / "passwd").chmod(0o644)
            for folder in (cell.home, cell.tmp, *writable):
                _give(folder, uid)
        return cell

    def _shown(self) -> list[Path]:
        """Return what of this machine builds need besides its system: Python, uv, indexes."""
        own = [sys.prefix, sys.base_prefix, str(Path(find_uv_bin()).parent)]
        programs = [word for word in self._environ.get("PATH", "").split(":") if word[:1] == "/"]
        settings = index_environment(self._environ)
        named = [
            path
            for name, value in settings.items()
            if name != "HOME" and not name.startswith(("PATH", "TMPDIR", "XDG_"))
            for path in paths_in([value])
        ]
        # A stub that systemd-resolved keeps where the view has nothing.
        resolver = os.path.realpath("/etc/resolv.conf")
        return [Path(word) for word in dict.fromkeys([*own, *programs, resolver])] + named

    def _hidden(self) -> list[Path]:
        state = self._environ.get("STEER_STATE_DIR", "")
        return [self.cache.root, *([Path(state)] if state.startswith("/") else [])]


class Cells:
    """Makes the cells of one build; everything that they hold goes away with them."""

    def __init__(self, walls: Walls) -> None:
        self._walls = walls
        self.unwalled: str | None = None
        """Why a program ran without walls, as soon as one did."""

    @asynccontextmanager
    async def cell(self, *writable: Path) -> AsyncIterator[Cell]:
        """Have a cell whose programs own what is in `writable` by then, and see no other build.

        Raises WallsMissing where there can be none and the policy asks for them.
        """
        missing = await self._walls.missing()
        if missing is not None:
            if self._walls.policy == "required":
                raise WallsMissing(missing)
            self.unwalled = missing
        with self._walls.cache.scratch() as root:
            is_walled = missing is None
            yield await asyncio.to_thread(self._walls.furnish, root, writable, is_walled=is_walled)


def paths_in(settings: Iterable[str]) -> list[Path]:
    """Return the files and folders of this machine that settings name."""
    words = [word for setting in settings for word in _PATHS.findall(setting)]
    return [path for word in words if (path := Path(unquote(word))).exists()]


def _give(folder: Path, uid: int) -> None:
    """Make a user the owner of a folder and all in it."""
    os.lchown(folder, uid, uid)
    for parent, folders, files in os.walk(folder):
        for name in (*folders, *files):
            os.lchown(os.path.join(parent, name), uid, uid)
