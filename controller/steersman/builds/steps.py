"""The commands of spec.build.steps, run in a copy of the tree with a clean environment."""

import shlex
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from steersman.builds.blobs import BlobStore
from steersman.builds.cells import Cell
from steersman.builds.children import Progress, run
from steersman.builds.environment import step_environment
from steersman.builds.errors import StepFailed
from steersman.builds.jail import NOT_STARTED, NOT_STARTED_SAYS
from steersman.builds.model import BuildSpec, Wheel
from steersman.builds.platforms import Platform
from steersman.builds.pythons import find_python
from steersman.builds.text import printable
from steersman.builds.tools import Tools, dependency_error, home_of


async def run_steps(
    spec: BuildSpec,
    folder: Path,
    cell: Cell,
    programs: Path | None,
    environ: Mapping[str, str],
    progress: Progress,
) -> None:
    """Run each step in `folder`, stopping at the first that fails; `cell` takes their litter."""
    path = [] if programs is None else [str(programs)]
    env = step_environment(environ, spec.index, str(cell.home), str(cell.tmp), path)
    python = [] if programs is None else [home_of(str(programs / "python"))]
    for step in spec.steps:
        shown = printable(step if isinstance(step, str) else shlex.join(step))
        progress(f"$ {shown}")
        argv = _words(step, shown)
        try:
            done = await cell.run(
                argv, env=env, cwd=folder, progress=progress, merge=True, shown=python
            )
        except (FileNotFoundError, PermissionError) as error:
            why = f"could not start: {printable(str(error.filename))}: {error.strerror}"
            raise StepFailed(shown, why, ()) from error
        if done.code == NOT_STARTED and done.last.startswith(NOT_STARTED_SAYS):
            raise StepFailed(shown, done.last, ())
        if done.code != 0:
            how = f"was killed by signal {-done.code}" if done.code < 0 else f"exited {done.code}"
            raise StepFailed(shown, how, done.tail)


async def make_venv(
    folder: Path,
    wheels: Sequence[Wheel],
    blobs: BlobStore,
    tools: Tools,
    platform: Platform,
    progress: Progress,
) -> Path | None:
    """Return the bin folder of a venv with the locked wheels, where they run on this machine."""
    # Whoever may write to the venv must not write to uv's cache by it.
    env = tools.env() | {"UV_LINK_MODE": "copy"}
    here = replace(Platform.here(), python=platform.python)
    python = await find_python(platform, tools.uv, env)
    if python is None or not all(here.accepts(wheel.filename) for wheel in wheels):
        progress(f"steps run without the dependencies: these are for {platform.key}")
        return None
    house = folder / "wheels"
    house.mkdir(parents=True)
    for wheel in wheels:
        (house / wheel.filename).symlink_to(blobs.path(wheel.sha256))
    files = [str(house / wheel.filename) for wheel in wheels]
    venv = folder / "venv"
    install = ["pip", "install", "--quiet", "--offline", "--no-index", "--no-deps"]
    commands = [["venv", "--quiet", "--no-project", "--python", python, str(venv)]]
    if files:
        commands.append([*install, "--python", str(venv / "bin" / "python"), *files])
    for words in commands:
        done = await run([tools.uv, *words], env=env, cwd=folder, progress=progress)
        if done.code != 0:
            raise dependency_error("the build steps' venv", done)
    return venv / "bin"


def _words(step: str | tuple[str, ...], shown: str) -> list[str]:
    try:
        words = shlex.split(step) if isinstance(step, str) else list(step)
    except ValueError as error:
        raise StepFailed(shown, f"cannot be split into words ({error})", ()) from error
    if not words:
        raise StepFailed(shown, "is empty", ())
    return words
