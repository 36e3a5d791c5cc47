"""The one way git is run: hardened settings, a clean environment, a deadline."""

import asyncio
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from steersman.builds.children import Finished, Progress, run
from steersman.builds.environment import git_environment

_SETTINGS = {
    "core.hooksPath": "/dev/null",
    "core.fsmonitor": "false",
    "core.symlinks": "false",
    "core.quotePath": "false",
    # Whoever pushes refs could have a commit read as another one.
    "core.useReplaceRefs": "false",
    "fetch.fsckObjects": "true",
    # All that comes is one file then, which a limit holds for.
    "fetch.unpackLimit": "1",
    "transfer.fsckObjects": "true",
    "gc.autoDetach": "false",
    "maintenance.autoDetach": "false",
    "http.lowSpeedLimit": "1000",
    "http.lowSpeedTime": "60",
    "protocol.allow": "never",
    "protocol.https.allow": "always",
    "protocol.ssh.allow": "always",
    "protocol.file.allow": "always",
    "submodule.recurse": "false",
}
_GIT = ("git", *(word for pair in _SETTINGS.items() for word in ("-c", "=".join(pair))))
_ANSWER_SECONDS = 60.0
_TIMED_OUT = 124
# What git says around the line that tells the reason.
_BOILERPLATE = re.compile(
    r"fatal: Could not read from remote repository|Please make sure you have|and the repository ex"
)


class GitCli:
    """Runs git by argv with settings that let a repository execute nothing.

    `extra` are variables of our own making, such as credentials.
    """

    def __init__(self, environ: Mapping[str, str], extra: Mapping[str, str] | None = None) -> None:
        self._env = git_environment(environ) | dict(extra or {})
        self._lent: dict[Path, str] = {}

    def argv(self, words: Sequence[str], folder: Path | None = None) -> list[str]:
        return [*_GIT, *(("-C", str(folder)) if folder is not None else ()), *words]

    def env(self, folder: Path | None = None) -> dict[str, str]:
        if folder is None:
            return self._env
        # A folder that is no repository must not stand for one that contains it.
        env = self._env | {"GIT_CEILING_DIRECTORIES": str(folder.parent)}
        objects = self._lent.get(folder)
        return env if objects is None else env | {"GIT_ALTERNATE_OBJECT_DIRECTORIES": objects}

    @contextmanager
    def lending(self, folder: Path, objects: str) -> Iterator[None]:
        """Let the repository in `folder` have the objects of another folder meanwhile."""
        self._lent[folder] = objects
        try:
            yield
        finally:
            del self._lent[folder]

    async def run(
        self,
        words: Sequence[str],
        folder: Path | None = None,
        *,
        stdin: bytes | None = None,
        seconds: float = _ANSWER_SECONDS,
        progress: Progress | None = None,
        largest: int | None = None,
        most: int | None = None,
    ) -> Finished:
        """Run git to its end; silence beyond `seconds` reads as a failure that says so."""
        try:
            async with asyncio.timeout(seconds):
                return await run(
                    self.argv(words, folder),
                    env=self.env(folder),
                    stdin=stdin,
                    progress=progress,
                    largest=largest,
                    most=most,
                )
        except TimeoutError:
            return Finished(_TIMED_OUT, b"", (f"no answer within {seconds:.0f} s",))


def reason(done: Finished) -> str:
    """Return the line of git's stderr that tells why it failed."""
    telling = [line for line in done.tail if not _BOILERPLATE.match(line)]
    fatal = [line for line in telling if line.startswith(("fatal:", "error:"))]
    return (fatal or telling or [done.last])[-1]
