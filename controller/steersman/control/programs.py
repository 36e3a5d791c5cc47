"""Programs of a person's in an app's environment: started on a host, spoken to, and ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Protocol

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.control.hosts import HostLink
from steersman.control.places import hosts_of, known_process
from steersman.control.session import Session
from steersman.drivers.systemd import one_off


class NotRunning(SteersmanError):
    """There is no release to run something in."""


@dataclass(frozen=True, slots=True)
class Terminal:
    """What a program's terminal is: its `size` as lines and columns, and its `term`."""

    size: tuple[int, int]
    term: str


@dataclass(frozen=True, slots=True)
class Wish:
    """What to run. With no `terminal` its output is bytes, and its errors stay apart."""

    argv: tuple[str, ...]
    process: str | None = None
    has_input: bool = False
    terminal: Terminal | None = None


@dataclass(frozen=True, slots=True)
class Said:
    """One thing that a program's end tells: bytes on `fd`, or how it is.

    `began` says that it can be spoken to, `taken` how many bytes of input it took since the last,
    `code` that it is over.
    """

    fd: int = 1
    data: bytes = b""
    began: bool = False
    taken: int = 0
    code: int | None = None


class Program(Protocol):
    """A program on a host, from here: `said` runs it, and leaving that early ends it."""

    def said(self) -> AsyncGenerator[Said]: ...

    async def send(self, data: bytes) -> None:
        """Give it input, once it began."""
        ...

    async def end_input(self) -> None: ...

    async def resize(self, size: tuple[int, int]) -> None: ...


class HostProgram:
    """A program on a host that this controller has a link to."""

    def __init__(self, link: HostLink, asked: Mapping[str, Any], wish: Wish) -> None:
        self._link = link.link
        self._asked = asked
        self._wish = wish
        self._number = 0

    async def said(self) -> AsyncGenerator[Said]:
        terminal = self._wish.terminal
        tty = None if terminal is None else {"size": list(terminal.size), "term": terminal.term}
        replies = self._link.stream("exec", input=self._wish.has_input, tty=tty, **self._asked)
        async with aclosing(replies):
            async for reply in replies:
                header = reply.header
                began = "began" in header
                if began:
                    self._number = int(header["id"])
                yield Said(
                    fd=int(header.get("fd", 1)),
                    data=reply.body,
                    began=began,
                    taken=int(header.get("taken", 0)),
                    code=int(header["exit"]) if "exit" in header else None,
                )

    async def send(self, data: bytes) -> None:
        await self._link.tell("tell", self._number, body=data)

    async def end_input(self) -> None:
        await self._link.tell("tell", self._number, end=True)

    async def resize(self, size: tuple[int, int]) -> None:
        await self._link.tell("tell", self._number, size=list(size))


async def opened_program(session: Session, name: str, host: str, wish: Wish) -> HostProgram:
    """Return a program to be run on one of an app's hosts; raises what is in its way."""
    memory = session.memory
    app = await memory.app(name)
    await hosts_of(memory, app, host)
    if wish.process is not None:
        await known_process(memory, app, wish.process)
    link = await session.connect(await memory.host(host), await memory.hosts())
    return HostProgram(link, await _arguments(link, app, wish.argv, wish.process), wish)


async def _arguments(
    link: HostLink, app: App, argv: Sequence[str], process: str | None
) -> dict[str, Any]:
    """Return what the hand is told to run `argv` in the release that serves on its host."""
    seen = (await link.observe()).app(app.name)
    number, release = seen.current_number, (seen.current or "").rpartition("/")[2]
    if number is None:
        raise NotRunning(f"app {app.name} has no release on host {link.name}; apply it there first")
    names = [str(number), f"{number}.{process}"]
    return {
        "argv": list(argv),
        "app": app.name,
        "release": release,
        "envs": [name for name in names if name in seen.envs],
        "user": app.user,
        "sandbox": one_off(link.layout, app.name),
    }
