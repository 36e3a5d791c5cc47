"""The process of one plugin: it does what it is told on standard input, one thing at a time."""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import sys
import threading
from collections.abc import Callable, Coroutine
from typing import Any, BinaryIO

from pydantic import ValidationError

from steersman.api import plugging
from steersman.api.refusal import Refused
from steersman.plugging.types import find
from steersman.plugging.wire import HEAD, answered

CLOSING = 5.0
"""Seconds for a plugin to let go when the daemon is gone: a hung one would stay for ever."""
_NICE = 10
_MOST_TEXT = 2000


class Worker:
    """Holds the plugin; each public coroutine is a message, and returns the answer to it."""

    def __init__(self) -> None:
        self._plugin: plugging.Plugin | None = None

    async def check(self, type_: str, config: dict[str, Any]) -> dict[str, Any]:
        """Say what a type takes, and what is wrong with a config for it."""
        made = load(type_)
        try:
            made.Config.model_validate(config, by_alias=True, by_name=False)
        except ValidationError as error:
            return {**about(made), "faults": faults_of(error)}
        return {**about(made), "faults": []}

    async def open(self, type_: str, name: str, config: dict[str, Any]) -> dict[str, Any]:
        """Make the plugin and have it start."""
        made = load(type_)
        try:
            settings = made.Config.model_validate(config, by_alias=True, by_name=False)
        except ValidationError as error:
            told = "; ".join(f"config.{'.'.join(f['at'])}: {f['why']}" for f in faults_of(error))
            raise plugging.PluginError(told, is_final=True) from None
        self._plugin = made(name, settings)
        await self._plugin.start()
        return about(made)

    async def ship(self, batch: tuple[Any, ...]) -> dict[str, Any]:
        """Have the plugin ship a batch."""
        if self._plugin is None:
            raise plugging.PluginError("the plugin was not opened")
        await self._plugin.ship(batch)
        return {"dropped": self._plugin.dropped}

    async def close(self) -> dict[str, Any]:
        """Have the plugin ship what it holds back, and let go."""
        plugin, self._plugin = self._plugin, None
        if plugin is not None:
            await plugin.close()
        return {}


def load(type_: str) -> type[plugging.Plugin]:
    """Return the class of a type; raises PluginError when it is none, or cannot be imported."""
    point = find(type_)
    try:
        made = point.load()
    except Exception as error:
        extras = f"; if a module is missing, install it, as by `pip install 'steersman[{type_}]'`"
        raise plugging.PluginError(
            f"{point.value} cannot be imported: {_named(error)}{extras}", is_final=True
        ) from error
    if not isinstance(made, type) or not issubclass(made, plugging.Plugin):
        raise plugging.PluginError(f"{point.value} is no class of plugins", is_final=True)
    return made


def about(made: type[plugging.Plugin]) -> dict[str, Any]:
    """Return what a class says of itself."""
    summary = (made.__doc__ or "").strip().partition("\n")[0]
    return {"takes": sorted(made.takes), "summary": summary}


def faults_of(error: ValidationError) -> list[dict[str, Any]]:
    """Return what is wrong with a config and where, without any of its values."""
    faults = []
    for each in error.errors(include_url=False, include_input=False):
        refused = each.get("ctx", {}).get("error")
        # A refusal names what was found, which here may be a secret's value.
        why = f"allowed: {refused.allowed}" if isinstance(refused, Refused) else each["msg"]
        at = [str(part) for part in each["loc"]]
        faults.append({"at": at, "type": each["type"], "why": why})
    return faults


def _named(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}" if str(error) else type(error).__name__


async def _answer(work: Coroutine[Any, Any, dict[str, Any]]) -> dict[str, Any]:
    try:
        return {"ok": await work}
    except plugging.PluginError as error:
        text = str(error)[:_MOST_TEXT]
        return {"error": text, "final": error.is_final, "after": error.after}
    except Exception as error:
        sys.excepthook(type(error), error, error.__traceback__)
        return {"error": _named(error)[:_MOST_TEXT], "is_fault": True}


async def _serve(messages: asyncio.Queue[tuple[Any, ...] | None], answers: BinaryIO) -> None:
    worker = Worker()
    verbs: dict[str, Callable[..., Coroutine[Any, Any, dict[str, Any]]]] = {
        "check": worker.check,
        "open": worker.open,
        "ship": worker.ship,
        "close": worker.close,
    }
    while (message := await messages.get()) is not None:
        verb, *words = message
        answers.write(answered(await _answer(verbs[verb](*words))))
        answers.flush()
    await worker.close()


def _listen(stream: BinaryIO, hear: Callable[[tuple[Any, ...] | None], None]) -> None:
    """Pass on what the daemon says; when it is gone, end, whatever the plugin is at."""
    with contextlib.suppress(EOFError, OSError):
        while head := stream.read(HEAD.size):
            body = stream.read(HEAD.unpack(head)[0])
            hear(pickle.loads(body))  # noqa: S301 - the daemon's own
    hear(None)
    threading.Event().wait(CLOSING)
    os._exit(1)


async def _main(stream: BinaryIO, answers: BinaryIO) -> None:
    loop, messages = asyncio.get_running_loop(), asyncio.Queue[tuple[Any, ...] | None]()

    def hear(message: tuple[Any, ...] | None) -> None:
        loop.call_soon_threadsafe(messages.put_nowait, message)

    threading.Thread(target=_listen, args=(stream, hear), daemon=True).start()
    await _serve(messages, answers)


def main() -> None:
    """Serve one daemon until it hangs up."""
    # What a plugin prints must not mix with the answers.
    stream, answers = os.fdopen(os.dup(0), "rb"), os.fdopen(os.dup(1), "wb")
    with open(os.devnull) as nothing:
        os.dup2(nothing.fileno(), 0)
    os.dup2(2, 1)
    os.nice(_NICE)
    with contextlib.suppress(OSError), open("/proc/self/oom_score_adj", "w") as score:
        score.write("1000")  # a leak of memory ends this process, and not the daemon
    asyncio.run(_main(stream, answers))
    os._exit(0)  # threads that a plugin left must not keep it


if __name__ == "__main__":
    main()
