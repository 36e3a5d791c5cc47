"""This end of a remote program: the terminal or pipes that steer was started with."""

import asyncio
import contextlib
import os
import signal
import sys
import termios
import threading
import tty
from collections.abc import Iterator
from contextlib import aclosing

import click

from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.control.programs import Program, Terminal, Wish

STDIN = 0
CHUNK = 1 << 15
# How much input may be on its way to a program that does not read it.
AHEAD = 8 * CHUNK
# Without these, ending steer would leave the terminal raw.
_ENDINGS = (signal.SIGTERM, signal.SIGHUP)


class LinkLost(SteersmanError):
    """The link went while a program ran; its host ends it."""


async def converse(program: Program, wish: Wish) -> int:
    """Run a program, pass bytes both ways until it ends, return its exit code."""
    has_terminal = wish.terminal is not None
    keyboard = Keyboard(program)
    code = 1
    with contextlib.ExitStack() as stack:
        if has_terminal:
            stack.enter_context(raw_terminal())
        stack.enter_context(_ending())
        try:
            async with aclosing(program.said()) as said:
                async for each in said:
                    if each.began:
                        keyboard.begin(wish.has_input, has_terminal)
                    keyboard.taken(each.taken)
                    code = each.code if each.code is not None else code
                    # In a thread: whoever reads us may pause for longer than a link is patient.
                    await asyncio.to_thread(_write, each.fd, each.data)
        except HostUnreachable as error:
            raise LinkLost(f"{error}\n  the host ends the program; run it again") from error
        finally:
            keyboard.end()
    return code


def this_terminal() -> Terminal:
    """Return what the terminal is that steer was started on."""
    return Terminal(_size(), os.environ.get("TERM", "dumb"))


class Keyboard:
    """Sends what is read here, and the window's size, to a program that began."""

    def __init__(self, program: Program) -> None:
        self._program = program
        self._loop = asyncio.get_running_loop()
        self._room = threading.Semaphore(AHEAD // CHUNK)
        self._unacknowledged = 0
        self._sent: list[int] = []
        self._queue: asyncio.Queue[bytes] = asyncio.Queue()
        self._resized = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def begin(self, has_input: bool, has_terminal: bool) -> None:
        if has_input:
            # A thread of its own: nothing else reads files, pipes and terminals alike.
            threading.Thread(target=self._read, daemon=True).start()
            self._tasks.append(asyncio.create_task(self._send()))
        if has_terminal:
            self._loop.add_signal_handler(signal.SIGWINCH, self._resized.set)
            self._tasks.append(asyncio.create_task(self._resize()))
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

    async def _send(self) -> None:
        while data := await self._queue.get():
            self._sent.append(len(data))
            await self._program.send(data)
        await self._program.end_input()

    async def _resize(self) -> None:
        while await self._resized.wait():
            self._resized.clear()
            await self._program.resize(_size())


def _read_some() -> bytes:
    try:
        return os.read(STDIN, CHUNK)
    except OSError:  # a terminal that was hung up
        return b""


def _size() -> tuple[int, int]:
    size = os.get_terminal_size(STDIN)
    return size.lines, size.columns


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
