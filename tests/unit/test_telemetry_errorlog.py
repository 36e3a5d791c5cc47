"""Errors are kept by group, bounded, over restarts, and in spite of a damaged file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import orjson
import pytest
from structlog.testing import capture_logs

from steersman.api.signals import ErrorReport, Exited, Frame, LogRecord, Origin, Raised
from steersman.telemetry.errorform import written
from steersman.telemetry.errorlog import FILE, Bounds, ErrorLog
from steersman.telemetry.hub import Hub
from steersman.testing.samples import WITHIN

NOW = 1_764_072_000.0


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder / FILE


@asynccontextmanager
async def kept(path: Path, **bounds: float) -> AsyncIterator[tuple[ErrorLog, Hub]]:
    book, hub = ErrorLog(path, Bounds(**bounds), lambda: NOW), Hub()  # type: ignore[arg-type]
    async with book.keeping(hub):
        yield book, hub


def report(
    mark: str = "a", *, app: str = "shop", ago: float = 0.0, host: str = "h1", release: int = 7
) -> ErrorReport:
    frame = Frame(file="shop/views.py", line=12, function="total", code="a / b", before=("x",))
    origin = Origin(host=host, app=app, process="web", instance="1", release=release, commit="c0")
    return ErrorReport(
        time=NOW - ago,
        origin=origin,
        kind="exception",
        title=f"ZeroDivisionError: {mark}",
        fingerprint=(mark * 32)[:32],
        message=mark,
        exceptions=(Raised(type="ZeroDivisionError", message=mark, frames=(frame,)),),
        breadcrumbs=(LogRecord(time=NOW, origin=origin, text="GET /"),),
    )


async def test_reports_of_one_group_are_one_error(path: Path) -> None:
    async with kept(path) as (book, hub):
        hub.publish(report(ago=60))
        await book.write()
        hub.publish(report(ago=10, host="h2"))
        hub.publish(report(ago=5, release=8))
        hub.publish(report("b", app="blog", ago=7))
        hub.publish(LogRecord(time=NOW, origin=Origin(), text="no error"))
    async with kept(path) as (book, _):
        other, error = await book.errors()
        assert other["spec"]["app"] == "blog"
        assert error["metadata"]["name"] == "a" * 12
        labels = {"app": "shop", "process": "web", "host": "h1", "release": "8"}
        assert error["metadata"]["labels"] == {**labels, "kind": "exception"}
        spec = error["spec"]
        assert (spec["count"], spec["hosts"]) == (3, {"h1": 2, "h2": 1})
        assert (spec["releases"], spec["release"]) == ({"7": 2, "8": 1}, 8)
        assert (spec["first"], spec["last"]) == (
            "2025-11-25T11:59:00.000Z",
            "2025-11-25T11:59:55.000Z",
        )
        assert spec["exceptions"][0]["frames"] == [
            {
                "file": "shop/views.py",
                "line": 12,
                "function": "total",
                "code": "a / b",
                "before": ["x"],
                "inApp": True,
            }
        ]
        assert await book.errors("blog") == [other]
        assert await book.errors(name="a" * 12) == [error]
        assert await book.errors("shop", "b" * 12) == []


async def test_it_is_written_without_being_asked(path: Path) -> None:
    async with kept(path) as (book, hub):
        hub.publish(report())
        async with asyncio.timeout(WITHIN):
            while not await book.errors():
                await asyncio.to_thread(path.exists)


async def test_the_oldest_go(path: Path) -> None:
    async with kept(path, groups=7, groups_of_app=4, age=100.0) as (book, hub):
        for number, mark in enumerate("abcdef"):
            hub.publish(report(mark, ago=50 - number))
        for mark in "gh":
            hub.publish(report(mark, app="blog", ago=40))
        hub.publish(report("i", app="blog", ago=101))
        await book.write()
        assert {each["metadata"]["name"][0] for each in await book.errors()} == set("cdefgh")
        for mark in "jk":
            hub.publish(report(mark, app="desk"))
        await book.write()
        assert {each["metadata"]["name"][0] for each in await book.errors()} == set("defghjk")


async def test_places_of_a_group_are_bounded(path: Path) -> None:
    async with kept(path, places=3) as (book, hub):
        for number in range(9):
            hub.publish(report(host=f"h{number}", ago=9 - number))
            await book.write()
        (error,) = await book.errors()
        assert (error["spec"]["count"], sorted(error["spec"]["hosts"])) == (9, ["h6", "h7", "h8"])


async def test_what_waits_is_bounded_and_counted(path: Path) -> None:
    book = ErrorLog(path, Bounds(waiting=2), lambda: NOW)
    for mark in "abcab":
        book.take(report(mark))
    assert book.dropped == 1
    await book.write()
    assert len(await book.errors()) == 2
    await book.close()


async def test_a_damaged_file_is_put_aside(path: Path) -> None:
    path.write_bytes(b"no database at all, but long enough to be read as the head of one" * 20)
    with capture_logs() as logs:
        async with kept(path) as (book, hub):
            hub.publish(report())
            await book.write()
            assert len(await book.errors()) == 1
    assert [each["event"] for each in logs] == ["file_put_aside"]
    assert path.with_name(f"{FILE}.damaged").exists()


async def test_no_file_has_no_errors_and_is_not_made(path: Path) -> None:
    book = ErrorLog(path)
    assert await book.errors() == []
    assert not path.exists()


def test_a_report_is_as_small_as_it_must_be() -> None:
    frames = tuple(
        Frame(file="a.py", line=n, function="f" * 100, code="x" * 200, before=("y" * 300,) * 5)
        for n in range(200)
    )
    raised = Raised(type="E", message="m" * 8000, frames=frames)
    origin = Origin(app="shop")
    crumbs = (LogRecord(time=1, origin=origin, text="z" * 500),) * 20
    exited = Exited(time=1, origin=origin, signal="SIGSEGV", has_core=True)
    big = ErrorReport(
        time=float("inf"),
        origin=origin,
        kind="crash",
        title="t\udcff",
        fingerprint="f",
        message="m" * 8000,
        exceptions=(raised,) * 50,
        exited=exited,
        breadcrumbs=crumbs,
    )
    for most in (10_000_000, 1_000_000, 60_000, 4_000, 500):
        body = written(big, most)
        assert len(body) <= most
        assert orjson.loads(body)["title"] == "t?"
        assert orjson.loads(body)["exited"] == {"signal": "SIGSEGV", "restarts": 0, "core": True}
