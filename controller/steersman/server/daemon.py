"""The daemon as a process: one of its kind for a state folder, ready, watched, and ended well."""

from __future__ import annotations

import asyncio
import fcntl
import gc
import os
import signal
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, AsyncExitStack, asynccontextmanager
from pathlib import Path

import structlog

from steersman.api.errors import SteersmanError
from steersman.control.engine import Engine
from steersman.server.notify import Notifier

log = structlog.get_logger(__name__)

AGAIN = 5.0
"""Seconds before a part of the daemon that failed begins again."""
SIGNALS = (signal.SIGTERM, signal.SIGINT)


class AlreadyServing(SteersmanError):
    """Another daemon has this state folder."""

    def __init__(self, folder: Path, holder: str) -> None:
        super().__init__(
            f"a daemon serves {folder} already ({holder or 'its pid is not known'});"
            " stop it first, or name another folder with --state-dir"
        )


def collect_rarely() -> None:
    """Have full garbage collections follow what is made and not what is kept.

    A daemon keeps every object that it has parsed, and each full collection looks at all of them:
    over a thousand hosts that took more time than the work.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)


@asynccontextmanager
async def alone_in(folder: Path) -> AsyncIterator[None]:
    """Be the one daemon of a state folder while the body runs; raises AlreadyServing."""
    fd = os.open(folder / "serve.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise AlreadyServing(folder, os.pread(fd, 100, 0).decode("utf-8", "replace")) from None
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"pid {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(fd)


async def serve(
    engine: Engine, doors: Sequence[AbstractAsyncContextManager[object]], notifier: Notifier
) -> None:
    """Run the engine with its doors open until SIGTERM or Ctrl-C.

    Doors open once the engine has seen everything that was known at the start, and close before
    it stops. A rollout that is under way stops behind the step that it is making.
    """
    loop, stop = asyncio.get_running_loop(), asyncio.Event()
    for each in SIGNALS:
        loop.add_signal_handler(each, stop.set)
    working = asyncio.create_task(engine.run(), name="engine")
    try:
        if not await _first(working, engine.is_ready):
            await working  # it ended before it was ready: this raises why
        async with AsyncExitStack() as open_doors:
            for door in doors:
                await open_doors.enter_async_context(door)
            collect_rarely()
            notifier.ready()
            log.info("serving", pid=os.getpid())
            watchdog = asyncio.create_task(_give_signs_of_life(notifier))
            is_asked = await _first(working, stop)
            watchdog.cancel()
            notifier.stopping()
            log.info("stopping")
        if not is_asked:
            await working
    finally:
        working.cancel()
        await asyncio.gather(working, return_exceptions=True)
        for each in SIGNALS:
            loop.remove_signal_handler(each)
    log.info("stopped")


@asynccontextmanager
async def kept_going(name: str, work: Callable[[], Awaitable[None]]) -> AsyncIterator[None]:
    """Have `work` done for as long as the body runs, again from its start when it fails."""

    async def keep() -> None:
        while True:
            try:
                await work()
            except Exception:
                log.exception("task_failed", task=name, again_in=AGAIN)
            await asyncio.sleep(AGAIN)

    task = asyncio.create_task(keep(), name=name)
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _first(working: asyncio.Task[None], event: asyncio.Event) -> bool:
    """Return whether `event` came before `working` ended."""
    waiting = asyncio.create_task(event.wait())
    await asyncio.wait({working, waiting}, return_when=asyncio.FIRST_COMPLETED)
    waiting.cancel()
    return not working.done()


async def _give_signs_of_life(notifier: Notifier) -> None:
    """Tell the manager twice in each of its periods that the loop turns."""
    if notifier.watchdog is not None:
        while True:
            notifier.alive()
            await asyncio.sleep(notifier.watchdog / 2)
