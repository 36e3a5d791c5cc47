"""The bare repositories that are pushed to, and how git is run on them."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Mapping, Sequence
from importlib import resources
from pathlib import Path

import structlog

from steersman.api.errors import SteersmanError
from steersman.builds.gitcli import GitCli, reason

HOOKS = ("pre-receive", "post-receive")

# git's own names for what a push leaves behind that was killed.
_LITTER = ("incoming-*", "tmp_objdir-*", "quarantine-*")
_SETTINGS = {
    "receive.fsckObjects": "true",
    "receive.autogc": "false",
    "receive.advertisePushOptions": "false",
    "receive.advertiseAtomic": "true",
    "receive.denyDeletes": "false",
    "receive.keepAlive": "5",
    "receive.shallowUpdate": "false",
    "receive.updateServerInfo": "false",
    "transfer.hideRefs": "refs/steersman",
    "uploadpack.allowAnySHA1InWant": "false",
    "uploadpack.allowFilter": "false",
    # A few bytes can stand for gigabytes: what is large is streamed, not held.
    "core.bigFileThreshold": "16m",
    "core.deltaBaseCacheLimit": "32m",
    "core.logAllRefUpdates": "true",
    "core.fsync": "all",
    "pack.threads": "1",
    "pack.windowMemory": "64m",
}

log = structlog.get_logger(__name__)


class DepotError(SteersmanError):
    """git could not make or look after a repository that is pushed to."""


class Depot:
    """Everything lies below `root`: `APP.git` for each app, and the hooks, which are ours."""

    def __init__(self, root: Path, environ: Mapping[str, str]) -> None:
        self.root = root
        self.git = GitCli(environ)
        self._environ = environ

    def path(self, app: str) -> Path:
        """Return where the repository of an app lies, whether it is there or not."""
        return self.root / f"{app}.git"

    def has(self, app: str) -> bool:
        return (self.path(app) / "HEAD").is_file()

    async def create(self, app: str, ref: str) -> bool:
        """Make an empty repository whose branch is `ref`, whole or not at all.

        Return whether there was none yet.
        """
        if self.has(app):
            return False
        self.root.mkdir(parents=True, exist_ok=True, mode=0o700)
        fresh = self.root / f".{app}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        words = ["init", "--quiet", "--bare", "--template=", f"--initial-branch={ref}"]
        done = await self.git.run([*words, "--end-of-options", str(fresh)])
        if done.code != 0:
            raise DepotError(f"the repository of {app} could not be made: {reason(done)}")
        fresh.rename(self.path(app))
        log.info("git_repository_made", app=app, path=str(self.path(app)))
        return True

    def prepare(self) -> None:
        """Put the hooks in place, and remove what pushes left that were killed."""
        folder = self.root / "hooks"
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        program = folder / "hook.py"
        source = resources.files("steersman.server.git") / "hook.py"
        program.write_bytes(source.read_bytes())
        for name in HOOKS:
            words = shlex.join([sys.executable, "-I", "-S", str(program), name])
            fresh = folder / f".{name}.new"
            # A path of an interpreter may be longer than a first line may be.
            fresh.write_text(f"#!/bin/sh\nexec {words}\n")
            fresh.chmod(0o700)
            fresh.replace(folder / name)
        for pattern in _LITTER:
            for left in self.root.glob(f"*.git/objects/{pattern}"):
                shutil.rmtree(left, ignore_errors=True)

    def argv(self, service: str, app: str, max_pack: int) -> list[str]:
        """Return how to serve one client; the hooks are ours, whatever the repository says."""
        settings = {
            **_SETTINGS,
            "receive.maxInputSize": str(max_pack),
            "core.hooksPath": str(self.root / "hooks"),
        }
        words = [word for pair in settings.items() for word in ("-c", "=".join(pair))]
        return self.git.argv([*words, service, "--end-of-options", str(self.path(app))])

    def env(self, app: str) -> dict[str, str]:
        return self.git.env(self.path(app))

    async def ask(
        self, app: str, words: Sequence[str], quarantine: str = "", stdin: bytes | None = None
    ) -> tuple[int, bytes]:
        """Return the exit code and the output of git in a repository and what is in quarantine."""
        extra = {"GIT_ALTERNATE_OBJECT_DIRECTORIES": quarantine} if quarantine else {}
        git = GitCli(self._environ, extra) if extra else self.git
        done = await git.run(words, self.path(app), stdin=stdin)
        return done.code, done.stdout

    async def tidy(self, app: str) -> None:
        """Pack what many pushes left, if it is much."""
        code, _ = await self.ask(app, ["gc", "--auto", "--quiet"])
        if code != 0:
            log.warning("git_gc_failed", app=app)
