"""uv and pip as child processes: found once, run with this machine's index settings."""

import ast
import os
import re
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from uv import find_uv_bin

from steersman.builds.cells import Cell, paths_in
from steersman.builds.children import Finished, Progress, run
from steersman.builds.environment import index_environment, is_index_setting
from steersman.builds.errors import DependencyError, IndexUnreachable
from steersman.builds.text import printable

_NETWORK = re.compile(
    r"(?i)Retrying \(|connection (refused|reset|aborted|error)|timed? ?out|name resolution"
    r"|network is unreachable|failed to (fetch|lookup)|dns error|\b50[0234]\b|error sending request"
)
# pip's settings and what uv calls them; uv reads none of pip's files.
_UV_NAMES = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "find-links": "UV_FIND_LINKS",
}
_UV_SEPARATORS = {"UV_INDEX": " ", "UV_FIND_LINKS": ","}


class Tools:
    """Runs uv and pip; `index` takes the place of every index this machine is set up for."""

    def __init__(self, environ: Mapping[str, str]) -> None:
        self._environ = environ

    @property
    def uv(self) -> str:
        return find_uv_bin()

    def env(self, index: str | None = None) -> dict[str, str]:
        return index_environment(self._environ, index)

    async def pip(
        self, words: Sequence[str], index: str | None, cwd: Path, progress: Progress
    ) -> Finished:
        # -P: a folder named pip in the source must not be taken for pip.
        argv = [sys.executable, "-P", "-m", "pip", "--no-color", *words]
        env = self.env(index) | _pip_names(self.env(index))
        return await run(argv, env=env, cwd=cwd, progress=progress, merge=True)

    async def pip_inside(
        self,
        cell: Cell,
        words: Sequence[str],
        index: str | None,
        cwd: Path,
        progress: Progress,
        python: str,
    ) -> Finished:
        """Run pip where it runs code of strangers: it sees settings, and no file of them."""
        argv = [sys.executable, "-P", "-m", "pip", "--no-color", *words]
        env = self.env(index) | _pip_names(self.env(index))
        settings = await self._pip_settings(cwd)
        if cell.is_walled:
            env = _pip_variables(settings) | env | {"PIP_CONFIG_FILE": os.devnull}
        shown = [*paths_in(settings.values()), home_of(python)]
        return await cell.run(argv, env=env, cwd=cwd, progress=progress, merge=True, shown=shown)

    async def uv_inside(
        self,
        cell: Cell,
        words: Sequence[str],
        index: str | None,
        cwd: Path,
        progress: Progress,
        python: str | None = None,
    ) -> Finished:
        """Run uv where it looks at indexes and runs code of strangers.

        What is set for pip only is set for it too.
        """
        argv, env = [self.uv, *words], self.env(index)
        shown = [] if python is None else [home_of(python)]
        if not any(name.startswith(("UV_INDEX", "UV_DEFAULT", "UV_FIND")) for name in env):
            settings = await self._pip_settings(cwd)
            shown += paths_in(settings.values())
            env |= _uv_names(settings)
            # The one setting that uv takes from no variable.
            if settings.get("no-index", "").lower() in ("1", "true", "yes", "on"):
                argv.append("--no-index")
        return await cell.run(argv, env=env, cwd=cwd, progress=progress, shown=shown)

    async def _pip_settings(self, cwd: Path) -> dict[str, str]:
        argv = [sys.executable, "-P", "-m", "pip", "config", "list"]
        done = await run(argv, env=self.env(), cwd=cwd)
        lines = [line.partition("=") for line in done.stdout.decode("utf-8", "replace").split("\n")]
        return {
            name.rpartition(".")[2]: str(ast.literal_eval(value))
            for name, _, value in lines
            if value
        }


def home_of(python: str) -> Path:
    """Return the folder that an interpreter and its library are in."""
    return Path(python).resolve().parent.parent


def dependency_error(what: str, done: Finished) -> DependencyError:
    """Return the error that uv's or pip's last lines stand for."""
    at = next((n for n, line in enumerate(done.tail) if line.lower().startswith("error")), -1)
    why = printable(" ".join(done.tail[at:]) or done.last)
    if any(_NETWORK.search(line) for line in done.tail):
        way_out = "check the index's address and the network; it is tried again"
        return IndexUnreachable(what, why, way_out)
    return DependencyError(what, why, "correct the requirement, its hash or the index")


def _uv_names(settings: Mapping[str, str]) -> dict[str, str]:
    """Return uv's names for the indexes that are set for pip."""
    found = {
        uv_name: _UV_SEPARATORS.get(uv_name, " ").join(settings[name].split())
        for name, uv_name in _UV_NAMES.items()
        if name in settings
    }
    # pip takes the best version of all indexes; uv stops at the first that has the name.
    return found | ({"UV_INDEX_STRATEGY": "unsafe-best-match"} if "UV_INDEX" in found else {})


def _pip_variables(settings: Mapping[str, str]) -> dict[str, str]:
    """Return pip's settings as variables, those that a build may have."""
    named = {f"PIP_{n.upper().replace('-', '_')}": " ".join(v.split()) for n, v in settings.items()}
    return {name: value for name, value in named.items() if is_index_setting(name)}


def _pip_names(env: Mapping[str, str]) -> dict[str, str]:
    """Return pip's names for the indexes that are set for uv only."""
    default = env.get("UV_DEFAULT_INDEX") or env.get("UV_INDEX_URL")
    extra = env.get("UV_INDEX") or env.get("UV_EXTRA_INDEX_URL")
    found: dict[str, str] = {}
    if default and "PIP_INDEX_URL" not in env:
        found["PIP_INDEX_URL"] = default
    if extra and "PIP_EXTRA_INDEX_URL" not in env:
        found["PIP_EXTRA_INDEX_URL"] = extra
    if env.get("UV_FIND_LINKS") and "PIP_FIND_LINKS" not in env:
        found["PIP_FIND_LINKS"] = env["UV_FIND_LINKS"].replace(",", " ")
    return found
