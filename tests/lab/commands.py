"""Running the machine's own tools, and waiting for what they set going."""

import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path


class LabError(Exception):
    """The lab could not do what a test asked of it."""


class CommandFailed(LabError):
    """A tool ended with an exit code other than 0."""

    def __init__(self, argv: Sequence[str], code: int, output: str) -> None:
        super().__init__(f"`{' '.join(argv)}` ended with {code}: {output.strip()[-2000:]}")
        self.code = code
        self.output = output


def run(
    argv: Sequence[str],
    *,
    stdin: str | None = None,
    env: Mapping[str, str] | None = None,
    keep_open: Sequence[int] = (),
    timeout: float = 900,
) -> str:
    """Return what `argv` printed; an exit code other than 0 is a `CommandFailed`."""
    done = subprocess.run(
        list(argv),
        input=stdin,
        stdin=subprocess.DEVNULL if stdin is None else None,
        capture_output=True,
        text=True,
        errors="replace",
        env=env,
        pass_fds=keep_open,
        timeout=timeout,
        check=False,
    )
    if done.returncode != 0:
        raise CommandFailed(argv, done.returncode, done.stdout + done.stderr)
    return done.stdout


def wait_until(ready: Callable[[], object], what: str, timeout: float = 120) -> None:
    """Look every 50 ms until `ready`; a `LabError` names `what` after `timeout` seconds."""
    deadline = time.monotonic() + timeout
    while not ready():
        if time.monotonic() > deadline:
            raise LabError(f"{what} did not happen within {timeout:.0f} s")
        time.sleep(0.05)


def write_whole(path: Path, text: str, mode: int = 0o644) -> None:
    """Write a file that is seen complete or not at all."""
    new = path.with_name(f".{path.name}.new")
    new.write_text(text)
    new.chmod(mode)
    new.rename(path)
