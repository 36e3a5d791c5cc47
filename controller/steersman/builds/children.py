"""Child processes: argv only, a group of their own, killed with whoever waits for them."""

import asyncio
import os
import resource
import signal
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from steersman.api.quantities import format_size
from steersman.builds.text import clean

Progress = Callable[[str], None]

_TAIL = 20
_CHUNK = 1 << 16
_CUT_OFF = 125


@dataclass(frozen=True, slots=True)
class Finished:
    """How a child ended; `tail` is the end of what it said on stderr, made printable."""

    code: int
    stdout: bytes
    tail: tuple[str, ...]

    @property
    def last(self) -> str:
        return self.tail[-1] if self.tail else f"exit status {self.code}, without a word"


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: bytes | None = None,
    progress: Progress | None = None,
    merge: bool = False,
    largest: int | None = None,
    most: int | None = None,
) -> Finished:
    """Run `argv` to its end; each line of stderr, with `merge` of stdout too, is progress.

    It, and what it starts, writes no file of more than `largest` bytes. Once it has said more than
    `most` bytes, it is killed, and that reads as a failure that says so.
    """
    async with started(argv, env=env, cwd=cwd, stdin=stdin is not None, merge=merge) as child:
        if largest is not None:
            with suppress(ProcessLookupError):
                resource.prlimit(child.pid, resource.RLIMIT_FSIZE, (largest, largest))
        lines: deque[str] = deque(maxlen=_TAIL)
        talk = child.stdout if merge else child.stderr
        quiet = None if merge else child.stdout
        _, stdout, _ = await asyncio.gather(
            _follow(talk, lines, progress),
            _read(child, quiet, most),
            feed(child.stdin, stdin or b""),
        )
        if most is not None and len(stdout) > most:
            return Finished(_CUT_OFF, b"", (f"an answer of more than {format_size(most)}",))
        return Finished(await child.wait(), stdout, tuple(lines))


@asynccontextmanager
async def started(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    stdin: bool = False,
    merge: bool = False,
) -> AsyncIterator[asyncio.subprocess.Process]:
    """Start `argv` in a session of its own, without a terminal to prompt on."""
    pipe, null = asyncio.subprocess.PIPE, asyncio.subprocess.DEVNULL
    starting = asyncio.create_task(
        asyncio.create_subprocess_exec(
            *argv,
            env=dict(env),
            cwd=cwd,
            stdin=pipe if stdin else null,
            stdout=pipe,
            stderr=asyncio.subprocess.STDOUT if merge else pipe,
            start_new_session=True,
        )
    )
    try:
        child = await asyncio.shield(starting)
    except asyncio.CancelledError:
        await asyncio.shield(_give_up(starting))
        raise
    try:
        yield child
    finally:
        await _end(child)


async def _give_up(starting: asyncio.Task[asyncio.subprocess.Process]) -> None:
    """End a child that nobody waits for any more; asyncio would leave what it started itself."""
    with suppress(OSError):
        await _end(await starting)


async def _end(child: asyncio.subprocess.Process) -> None:
    if child.returncode is None:
        _kill(child)
        await asyncio.shield(_reap(child))


def _kill(child: asyncio.subprocess.Process) -> None:
    with suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)


async def _reap(child: asyncio.subprocess.Process) -> None:
    """Wait for a child that was killed.

    asyncio tells of its end when its pipes have ended, and stops reading one whose buffer is full.
    """
    await asyncio.gather(child.wait(), drain(child.stdout), drain(child.stderr))


async def drain(stream: asyncio.StreamReader | None) -> None:
    """Read a pipe to its end, for nothing."""
    while stream is not None and await stream.read(_CHUNK):
        continue


def output(child: asyncio.subprocess.Process) -> asyncio.StreamReader:
    """Return the child's standard output, which `started` always connects."""
    if child.stdout is None:
        raise ValueError("the child was started without a pipe; start it with started()")
    return child.stdout


async def feed(writer: asyncio.StreamWriter | None, data: bytes) -> None:
    """Write all of `data`; a child that stopped reading says why on its stderr."""
    if writer is None:
        return
    with suppress(BrokenPipeError, ConnectionResetError):
        writer.write(data)
        await writer.drain()
        writer.close()
        await writer.wait_closed()


async def _read(
    child: asyncio.subprocess.Process, reader: asyncio.StreamReader | None, most: int | None
) -> bytes:
    """Return what a child says to its end; one that says more than `most` is ended by that."""
    read = bytearray()
    while reader is not None and (chunk := await reader.read(_CHUNK)):
        read += chunk
        if most is not None and len(read) > most:
            _kill(child)
            await drain(reader)
    return bytes(read)


async def _follow(
    reader: asyncio.StreamReader | None, lines: deque[str], progress: Progress | None
) -> None:
    rest = b""
    while reader is not None and (chunk := await reader.read(_CHUNK)):
        # A progress bar ends its lines with CR only; a line without an end is cut at the chunk.
        *whole, rest = (rest + chunk).replace(b"\r", b"\n").split(b"\n")
        if len(rest) > _CHUNK:
            whole, rest = [*whole, rest], b""
        _tell(whole, lines, progress)
    _tell([rest], lines, progress)


def _tell(raw: Sequence[bytes], lines: deque[str], progress: Progress | None) -> None:
    for line in raw:
        text = clean(line.decode("utf-8", "surrogateescape"))
        if text:
            lines.append(text)
            if progress is not None:
                progress(text)
