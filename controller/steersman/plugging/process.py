"""Starts the process of a plugin, asks it one thing at a time, and ends it, whatever it does."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import signal
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from steersman.api.plugging import PluginError
from steersman.api.signals import Signal
from steersman.plugging.types import find
from steersman.plugging.wire import HEAD, MOST_ANSWER, told

STARTING = 30.0
"""Seconds for Python, the plugin's modules and its `start`."""
_ENDING = 5.0
_MOST_NOTES = 4000


class PluginFault(PluginError):
    """A plugin did what no plugin does: it raised something else, hung, or its process ended."""


class PluginProcess:
    """A process that runs one plugin. Its methods raise PluginError, or PluginFault, after which
    (but for a plain raise) it is of no more use."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._notes = ""
        self._reading = asyncio.create_task(self._read_notes())

    @classmethod
    async def start(cls) -> PluginProcess:
        """Start the process; nothing of a plugin is in it yet."""
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-X", "utf8", "-m", "steersman.plugging.child"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env=_environment(),
            # What a plugin starts ends with it, and Ctrl-C in a terminal is not meant for it.
            start_new_session=True,
        )
        return cls(process)

    @property
    def pid(self) -> int:
        return self._process.pid

    async def check(self, type_: str, config: Mapping[str, Any]) -> dict[str, Any]:
        """Return what a type takes, and the faults of a config: at, type, why."""
        find(type_)
        return await self._ask(("check", type_, config), STARTING)

    async def open(self, type_: str, name: str, config: Mapping[str, Any]) -> frozenset[str]:
        """Make the plugin and start it; return what it takes. Raises NotInstalled too."""
        find(type_)
        answer = await self._ask(("open", type_, name, config), STARTING)
        return frozenset(answer.get("takes", ()))

    async def ship(self, batch: Sequence[Signal], timeout: float) -> int:
        """Have a batch shipped; return how many signals the plugin itself let go so far."""
        answer = await self._ask(("ship", tuple(batch)), timeout)
        return int(answer.get("dropped", 0))

    async def close(self, timeout: float) -> None:
        """Have the plugin close, and end the process; raises what came of the former."""
        try:
            await self._ask(("close",), timeout)
        finally:
            await self.end()

    async def end(self) -> None:
        """End the process at once."""
        with contextlib.suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        # asyncio may know of an end only when the pipes have ended, which somebody may hold.
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_ENDING):
                await self._process.wait()
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def _ask(self, message: tuple[Any, ...], timeout: float) -> dict[str, Any]:
        try:
            async with asyncio.timeout(timeout):
                answer = await self._exchange(told(message))
        except TimeoutError:
            raise PluginFault(f"no answer to {message[0]!r} within {timeout:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError, BrokenPipeError):
            raise PluginFault(f"its process ended{await self._last_words()}") from None
        if "ok" in answer:
            return dict(answer["ok"])
        text = str(answer.get("error"))
        if answer.get("is_fault"):
            raise PluginFault(text)
        after = float(answer.get("after") or 0.0)
        raise PluginError(text, is_final=bool(answer.get("final")), after=after)

    async def _exchange(self, data: bytes) -> dict[str, Any]:
        stdin, stdout = self._process.stdin, self._process.stdout
        if stdin is None or stdout is None:
            raise PluginFault("its process has no pipes")
        stdin.write(data)
        await stdin.drain()
        (size,) = HEAD.unpack(await stdout.readexactly(HEAD.size))
        if size > MOST_ANSWER:
            raise PluginFault("an answer that is too long")
        try:
            answer = json.loads(await stdout.readexactly(size))
        except (ValueError, RecursionError):
            answer = None
        if not isinstance(answer, dict):
            raise PluginFault("an answer that is none")
        return answer

    async def _read_notes(self) -> None:
        """Keep the last of what the plugin prints."""
        stderr = self._process.stderr
        while stderr is not None and (chunk := await stderr.read(_MOST_NOTES)):
            self._notes = (self._notes + chunk.decode("utf-8", "replace"))[-_MOST_NOTES:]

    async def _last_words(self) -> str:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(1):
                await asyncio.shield(self._reading)
        last = self._notes.strip().rpartition("\n")[2]
        return f": {last[:300]}" if last else ""


def _environment() -> dict[str, str]:
    """Return ours without what is steersman's own, and with the same modules to be found."""
    kept = {k: v for k, v in os.environ.items() if not k.startswith(("STEER_", "NOTIFY_"))}
    return {**kept, "PYTHONPATH": os.pathsep.join(each for each in sys.path if each)}
