"""Starts the rendering process, and takes nothing from it on trust."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import sys
from collections.abc import Collection
from typing import Any

from steersman.charting.jail import CPU_SECONDS

PATIENCE = 30.0
"""Seconds on the wall: on a busy machine, the process's own two can take longer."""
_MAX_ANSWER = 8 * 1024 * 1024
_MAX_NOTES = 64 * 1024
_CHUNK = 64 * 1024


class Ended(Exception):
    """How the process ended without an answer, and the template that it was at."""

    def __init__(self, template: str, why: str) -> None:
        super().__init__(why)
        self.template = template
        self.why = why


async def ask(request: dict[str, Any], known: Collection[str]) -> dict[str, Any]:
    """Return the process's answer to `request`; raises Ended. `known` are the files' names."""
    # No environment, no folder: what it needs to know is in the request.
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-I", "-X", "utf8", "-m", "steersman.charting.worker"),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env={},
        cwd="/",
    )
    try:
        async with asyncio.timeout(PATIENCE):
            _, answer, notes = await asyncio.gather(
                _tell(process.stdin, json.dumps(request).encode()),
                _read(process, process.stdout, _MAX_ANSWER),
                _read(process, process.stderr, _MAX_NOTES),
            )
            code = await process.wait()
    except TimeoutError:
        raise Ended("", f"more than {PATIENCE:g} s") from None
    finally:
        await _end(process)
    if len(answer) > _MAX_ANSWER or len(notes) > _MAX_NOTES:
        raise Ended(_last(notes, known), "more output than a chart may have")
    if code != 0:
        raise Ended(_last(notes, known), _why(code))
    return _parsed(answer)


async def _tell(stream: asyncio.StreamWriter | None, data: bytes) -> None:
    if stream is None:
        return
    # One that has ended already says why by its code.
    with contextlib.suppress(BrokenPipeError, ConnectionResetError):
        stream.write(data)
        await stream.drain()
    stream.close()


async def _read(
    process: asyncio.subprocess.Process, stream: asyncio.StreamReader | None, limit: int
) -> bytes:
    """Return what comes, or a little more than `limit` of it: then the process is ended."""
    data = b""
    while stream is not None and (chunk := await stream.read(_CHUNK)):
        data = (data + chunk)[: limit + 1]
        if len(data) > limit and process.returncode is None:
            process.kill()
    return data


async def _end(process: asyncio.subprocess.Process) -> None:
    if process.returncode is None:
        process.kill()
        # asyncio knows of an end only when the pipes have ended.
        for stream in (process.stdout, process.stderr):
            await _read(process, stream, 0)
        await process.wait()


def _last(notes: bytes, known: Collection[str]) -> str:
    lines = notes.decode(errors="replace").splitlines()
    return next((line for line in reversed(lines) if line in known), "")


def _why(code: int) -> str:
    if -code in (signal.SIGXCPU, signal.SIGKILL):
        return f"more than {CPU_SECONDS} s of computing"
    if -code in (signal.SIGABRT, signal.SIGSEGV, signal.SIGBUS):
        return f"more memory or depth than there is ({signal.Signals(-code).name})"
    return f"an end of the rendering process with code {code}"


def _parsed(answer: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(answer)
    except (ValueError, RecursionError):
        parsed = None
    if not isinstance(parsed, dict):
        raise Ended("", "no answer")
    return parsed
