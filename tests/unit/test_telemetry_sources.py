"""Source of a release is asked of its host once, briefly, and believed only if it fits."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import pytest

from steersman.api.errors import HostUnreachable
from steersman.api.signals import Frame, Raised
from steersman.telemetry.sources import PATIENCE, REST, HostSources

pytestmark = pytest.mark.looptime

FILE = "/srv/steersman/apps/shop/releases/8-abc/src/shop/views.py"
LINES = ["def total():", "    a = 1", "    return a / 0", "", "x = 1"]


@dataclass
class FakeSession:
    """A session with one host, whose hand says what it is told to."""

    answer: Any = field(default_factory=lambda: [[10, LINES]])
    delay: float = 0.0
    error: Exception | None = None
    asked: list[Any] = field(default_factory=list)
    silent: dict[str, Exception] = field(default_factory=dict)

    @property
    def memory(self) -> Any:
        return SimpleNamespace(hosts=self._hosts, releases=self._releases)

    async def _hosts(self) -> dict[str, str]:
        return {"h1": "h1"}

    async def _releases(self, app: str) -> list[Any]:
        spec = SimpleNamespace(number=8, commit="c8")
        return [SimpleNamespace(spec=spec)] if app == "shop" else []

    async def connect(self, host: str, hosts: Any) -> Any:
        return SimpleNamespace(link=self)

    async def call(self, op: str, **args: Any) -> Any:
        self.asked.append((op, args))
        await asyncio.sleep(self.delay)
        if self.error is not None:
            raise self.error
        return SimpleNamespace(header={"places": self.answer})


def raised(code: str = "return a / 0", file: str = FILE) -> tuple[Raised, ...]:
    library = Frame(file="/usr/lib/python3.11/json/decoder.py", line=3, function="decode")
    frame = Frame(file=file, line=12, function="total", code=code)
    return (Raised(type="ZeroDivisionError", message="", frames=(library, frame)),)


async def around(session: FakeSession, *given: Raised, host: str = "h1") -> Frame:
    sources = HostSources(session)  # type: ignore[arg-type]
    return (await sources.around(host, "shop", given or raised()))[0].frames[1]


async def test_the_lines_around_the_apps_own_frames() -> None:
    session = FakeSession()
    frame = await around(session)
    assert (frame.before, frame.code, frame.after) == (
        ("def total():", "    a = 1"),
        "    return a / 0",
        ("", "x = 1"),
    )
    assert session.asked == [("source", {"app": "shop", "places": [[FILE, 12]]})]


async def test_a_frame_without_code_learns_it() -> None:
    assert (await around(FakeSession(), *raised(code=""))).code == "    return a / 0"


async def test_source_that_does_not_fit_is_not_believed() -> None:
    assert (await around(FakeSession(), *raised(code="return b"))).before == ()


@pytest.mark.parametrize(
    "answer",
    [
        None, "x", [], [None], [[10]], [["10", LINES]], [[10, [1, 2, 3]]], [[99, LINES]],
        [[-5, LINES]], [[0, []]], {"a": 1},
    ],
)  # fmt: skip
async def test_no_answer_of_a_host_is_too_odd(answer: Any) -> None:
    assert await around(FakeSession(answer=answer)) == raised()[0].frames[1]


async def test_files_of_other_apps_are_not_asked_for() -> None:
    session = FakeSession()
    for file in ("/srv/steersman/apps/other/releases/1-a/src/x.py", "/etc/passwd", "views.py"):
        await around(session, *raised(file=file))
    await around(session, host="h2")
    session.silent["h1"] = HostUnreachable("h1", "no route")
    await around(session)
    assert session.asked == []


async def test_the_same_place_is_asked_for_once() -> None:
    session = FakeSession()
    sources = HostSources(session)  # type: ignore[arg-type]
    for _ in range(3):
        assert (await sources.around("h1", "shop", raised()))[0].frames[1].before
    assert len(session.asked) == 1


@pytest.mark.parametrize("fault", ["slow", "failing"])
async def test_a_host_that_does_not_answer_is_left_alone_for_a_while(fault: str) -> None:
    error = HostUnreachable("h1", "lost") if fault == "failing" else None
    session = FakeSession(delay=3600 if fault == "slow" else 0, error=error)
    sources = HostSources(session)  # type: ignore[arg-type]
    began = asyncio.get_running_loop().time()
    for _ in range(10):
        assert await sources.around("h1", "shop", raised()) == raised()
    assert asyncio.get_running_loop().time() - began <= PATIENCE
    assert len(session.asked) == 1
    session.delay, session.error = 0, None
    await asyncio.sleep(REST)
    assert (await sources.around("h1", "shop", raised()))[0].frames[1].before


async def test_an_answer_that_comes_late_is_there_for_the_next_error() -> None:
    session = FakeSession(delay=2 * PATIENCE)
    sources = HostSources(session)  # type: ignore[arg-type]
    assert await sources.around("h1", "shop", raised()) == raised()
    await asyncio.sleep(2 * PATIENCE)
    assert (await sources.around("h1", "shop", raised()))[0].frames[1].before
    assert len(session.asked) == 1


async def test_the_commit_of_a_release() -> None:
    sources = HostSources(FakeSession())  # type: ignore[arg-type]
    assert await sources.commit("shop", 8) == "c8"
    assert [await sources.commit(app, n) for app, n in (("shop", 9), ("x", 8), ("", 0))] == [""] * 3
