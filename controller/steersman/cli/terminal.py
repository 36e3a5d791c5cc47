"""This end of a remote program: the terminal or pipes that steer was started with."""

import asyncio
import contextlib
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator, Mapping
from contextlib import aclosing
from typing import Any

import click

from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.transport.link import Link

STDIN = 0
CHUNK = 1 << 15
# How much input may be on its way to a program that does not read it.
AHEAD = 8 * CHUNK
# Without these, ending steer would leave the terminal raw.
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class LinkLost(SteersmanError):
    """The link went while a program ran; its host ends it."""


async def converse(
    link: Link, asked: Mapping[str, Any], has_input: bool, has_terminal: bool
) -> int:
    """Run what is `asked` of the hand, pass bytes both ways until it ends, return its exit code."""
    terminal = {"size": _size(), "term": os.environ.get("TERM", "dumb")} if has_terminal else None
    keyboard = Keyboard(link)
    code = 1
    with contextlib.ExitStack() as stack:
        if has_terminal:
            stack.enter_context(raw_terminal())
        stack.enter_context(_ending())
        replies = link.stream("exec", input=has_input, tty=terminal, **asked)
        try:
            async with aclosing(replies):
                async for reply in replies:
                    if "began" in reply.header:
                        keyboard.begin(int(reply.header["id"]), has_input, has_terminal)
                    keyboard.taken(int(reply.header.get("taken", 0)))
                    code = int(reply.header.get("exit", code))
                    # In a thread: whoever reads us may pause for longer than a link is patient.
                    await asyncio.to_thread(_write, int(reply.header.get("fd", 1)), reply.body)
        except HostUnreachable as error:
            raise LinkLost(f"{error}\n  the host ends the program; run it again") from error
        finally:
            keyboard.end()
    return code


class Keyboard:
    """Sends what is read here, and the window's size, to the program `begin` names."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(AHEAD // CHUNK)
        self._unacknowledged = 0
        self._sent: list[int] = []
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._resized = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, number: int, has_input: bool, has_terminal: bool) -> None:
        if has_input:
            # A thread of its own: nothing else reads files, pipes and terminals alike.
            threading.Thread(target=self._read, daemon=True).start()
            self._tasks.append(asyncio.create_task(self._send(number)))
        if has_terminal:
            self._loop.add_signal_handler(signal.SIGWINCH, self._resized.set)
            self._tasks.append(asyncio.create_task(self._resize(number)))
            self._resized.set()  # it may have changed since

    def taken(self, count: int) -> None:
        """Make room for as many reads as the program took whole."""
        self._unacknowledged += count
        while self._sent and self._unacknowledged >= self._sent[0]:
            self._unacknowledged -= self._sent.pop(0)
            self._room.release()

    def end(self) -> None:
        self._loop.remove_signal_handler(signal.SIGWINCH)
        for task in self._tasks:
            task.cancel()

    def _read(self) -> None:
        data = b"."
        while data:
            self._room.acquire()
            data = _read_some()
            # The loop is closed once the program has ended: whoever typed on typed for the shell.
            with contextlib.suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._queue.put_nowait, data)

    async def _send(self, number: int) -> None:
        while data := await self._queue.get():
            self._sent.append(len(data))
            await self._link.tell("tell", number, body=data)
        await self._link.tell("tell", number, end=True)

    async def _resize(self, number: int) -> None:
        while await self._resized.wait():
            self._resized.clear()
            await self._link.tell("tell", number, size=_size())


def _read_some() -> bytes:
    try:
        return os.read(STDIN, CHUNK)
    except OSError:  # a terminal that was hung up
        return b""


def _size() -> list[int]:
    size = os.get_terminal_size(STDIN)
    return [size.lines, size.columns]


def _write(fd: int, data: bytes) -> None:
    """Write bytes as they are: a dump that somebody pipes into a file, a terminal's own words."""
    stream = sys.stderr if fd == 2 else sys.stdout
    stream.buffer.write(data)
    stream.buffer.flush()


@contextlib.contextmanager
def raw_terminal() -> Iterator[None]:
    """Let the keyboard's every key through until the block ends, however it ends."""
    before = termios.tcgetattr(STDIN)
    tty.setraw(STDIN)
    try:
        yield
    finally:
        termios.tcsetattr(STDIN, termios.TCSADRAIN, before)


@contextlib.contextmanager
def _ending() -> Iterator[None]:
    """Turn a request to end into an exit with the code it has, so that all is put back first."""
    loop, task = asyncio.get_running_loop(), asyncio.current_task()
    received: list[int] = []

    def end(number: int) -> None:
        received.append(number)
        if task is not None:
            task.cancel()

    for number in _ENDINGS:
        loop.add_signal_handler(number, end, number)
    try:
        yield
    except asyncio.CancelledError:
        if not received:
            raise
        raise click.exceptions.Exit(128 + received[0]) from None
    finally:
        for number in _ENDINGS:
            loop.remove_signal_handler(number)
