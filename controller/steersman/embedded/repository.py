"""The demo's git repository: a guest book's source, its origin, and pushes to it."""

from __future__ import annotations

import os
import shutil
from importlib import resources
from pathlib import Path

from steersman.api.errors import SteersmanError
from steersman.builds.gitcli import GitCli, reason

_AUTHOR = ("-c", "user.name=Guest", "-c", "user.email=guest@localhost")


class GitFailed(SteersmanError):
    """git did not do what the demo asked for."""


class Repository:
    """A working copy and the bare repository that it pushes to, both in `folder`."""

    def __init__(self, folder: Path) -> None:
        self.origin = folder / "origin.git"
        self._copy = folder / "work"
        self._git = GitCli(os.environ)

    async def create(self) -> str:
        """Make both and push the guest book; return its commit."""
        with resources.as_file(resources.files("steersman.embedded") / "guest-book") as source:
            shutil.copytree(source, self._copy, ignore=shutil.ignore_patterns("__pycache__"))
        await self._run("init", "--quiet", "--bare", "--initial-branch=main", str(self.origin))
        await self._run("init", "--quiet", "--initial-branch=main", str(self._copy))
        return await self._push("A guest book")

    async def change(self, message: str, old: str, new: str) -> str:
        """Replace `old` by `new` in the app, commit and push; return the commit."""
        main = self._copy / "main.py"
        main.write_text(main.read_text().replace(old, new))
        return await self._push(message)

    async def _push(self, message: str) -> str:
        here = ("-C", str(self._copy))
        await self._run(*here, "add", "--all")
        await self._run(*here, *_AUTHOR, "commit", "--quiet", "--message", message)
        await self._run(*here, "push", "--quiet", str(self.origin), "main")
        return (await self._run(*here, "rev-parse", "HEAD")).strip()

    async def _run(self, *words: str) -> str:
        done = await self._git.run(words)
        if done.code != 0:
            raise GitFailed(
                f"the demo's git failed: {reason(done)}; is git 2.28 or newer installed?"
            )
        return done.stdout.decode()
