"""Lines, exits and happenings become errors: grouped, complete, masked, and never in the way."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.api.mask import Masks
from steersman.api.signals import (
    ErrorReport,
    Exited,
    Frame,
    Happening,
    LogRecord,
    Origin,
    Raised,
    Signal,
)
from steersman.telemetry import errors as module
from steersman.telemetry import grouping
from steersman.telemetry.errors import CRUMBS, MOST_INSTANCES, MOST_WAITING, Errors
from steersman.telemetry.hub import Hub
from steersman.telemetry.lines import read
from steersman.telemetry.tracebacks import QUIET
from steersman.telemetry.troubles import report_of_failure

pytestmark = pytest.mark.looptime

ROOT = "/srv/steersman/apps/shop"
WEB = Origin(host="h1", app="shop", process="web", instance="1", release=7)
CANARY = "canary-5up3r-s3cret"
TRACEBACK = f"""\
Traceback (most recent call last):
  File "{ROOT}/releases/8-abc123/venv/lib/python3.11/site-packages/flask/app.py", line 9, in run
    return view()
  File "{ROOT}/builds/abc/src/shop/views.py", line 12, in total
    return price / count
ZeroDivisionError: division by zero""".split("\n")


class FakeSources:
    """What a release says, without a host."""

    def __init__(self) -> None:
        self.delay = 0.0
        self.asked: list[str] = []

    async def commit(self, app: str, release: int) -> str:
        return f"commit-of-{app}-{release}" if release else ""

    async def around(self, host: str, app: str, exceptions: Sequence[Raised]) -> tuple[Raised, ...]:
        self.asked += [frame.file for each in exceptions for frame in each.frames]
        await asyncio.sleep(self.delay)
        return tuple(
            replace(each, frames=tuple(replace(f, before=("def total():",)) for f in each.frames))
            for each in exceptions
        )


class Ship:
    """A hub with errors at work, and what came of it."""

    def __init__(self) -> None:
        self.hub, self.masks, self.sources = Hub(), Masks(), FakeSources()
        self.errors = Errors(self.hub, self.sources, self.masks)
        self.seen: list[ErrorReport] = []

    def take(self, signal: Signal) -> None:
        if isinstance(signal, ErrorReport):
            self.seen.append(signal)

    def say(self, *lines: str, origin: Origin = WEB, **more: object) -> None:
        for line in lines:
            self.hub.publish(LogRecord(time=100.0, origin=origin, text=line, **more))  # type: ignore[arg-type]

    @asynccontextmanager
    async def watching(self) -> AsyncIterator[Ship]:
        with self.hub.joined(self.take):
            async with self.errors.watching():
                yield self


@pytest.fixture
async def ship() -> AsyncIterator[Ship]:
    async with Ship().watching() as made:
        yield made


async def test_a_traceback_is_an_error_within_a_second(ship: Ship) -> None:
    ship.say("GET /total", *TRACEBACK)
    assert ship.seen == []
    await asyncio.sleep(QUIET + 0.1)
    (report,) = ship.seen
    assert (report.kind, report.title) == ("exception", "ZeroDivisionError: division by zero")
    # What ran says best which release it was of, and here only the library's path says it.
    assert report.origin == replace(WEB, commit="commit-of-shop-7")
    library, view = report.exceptions[0].frames
    assert (library.file, library.is_in_app) == ("flask/app.py", False)
    assert (view.file, view.line, view.function) == ("shop/views.py", 12, "total")
    assert (view.is_in_app, view.before) == (True, ("def total():",))
    assert [each.text for each in report.breadcrumbs] == ["GET /total"]
    assert f"{ROOT}/builds/abc/src/shop/views.py" in ship.sources.asked


async def test_paths_pin_the_release_that_failed(ship: Ship) -> None:
    lines = [line.replace("builds/abc", "releases/8-abc123") for line in TRACEBACK]
    ship.say(*lines)
    await asyncio.sleep(1)
    assert ship.seen[0].origin == replace(WEB, release=8, commit="commit-of-shop-8")


async def test_instances_never_mix(ship: Ship) -> None:
    other = replace(WEB, instance="2")
    for line in TRACEBACK:
        ship.say(line)
        ship.say(line.replace("ZeroDivision", "Overflow"), origin=other)
    await asyncio.sleep(1)
    assert [(each.origin.instance, each.exceptions[0].type) for each in ship.seen] == [
        ("1", "ZeroDivisionError"),
        ("2", "OverflowError"),
    ]
    assert [len(each.exceptions[0].frames) for each in ship.seen] == [2, 2]


async def test_a_json_line_holds_a_whole_one(ship: Ship) -> None:
    ship.say("failed", fields={"exc_info": "\n".join(TRACEBACK), "id": 3})
    ship.say("\n".join(["failed again", *TRACEBACK]))
    inner = json.dumps({"error": {"stack_trace": "\n".join(TRACEBACK)}})
    line = json.dumps({"message": "nested", "ecs": json.loads(inner), "long": "x" * 5000})
    ship.hub.publish(LogRecord(time=1.0, origin=WEB, text="x", fields=read(line).fields))
    await asyncio.sleep(0)
    await asyncio.sleep(0.01)
    assert [each.title for each in ship.seen] == ["ZeroDivisionError: division by zero"] * 3


async def test_the_supervisors_words_are_no_errors(ship: Ship) -> None:
    ship.say(*TRACEBACK, is_system=True)
    ship.say(*TRACEBACK, origin=Origin(host="h1"))
    await asyncio.sleep(1)
    assert ship.seen == []


def test_the_same_error_whatever_its_lines_and_ids() -> None:
    def raised(line: int, text: str, *functions: str, kind: str = "KeyError") -> Raised:
        frames = [Frame(file="a.py", line=line, function=name) for name in functions]
        return Raised(type=kind, message=text, frames=tuple(frames))

    one = grouping.fingerprint_of("shop", [raised(1, "id 17", "f", "g")])
    assert one == grouping.fingerprint_of("shop", [raised(9, "id 18", "f", "g")])
    assert one == grouping.fingerprint_of("shop", [raised(9, "", "f", "g", "g", "g")])
    library = Frame(file="lib.py", line=1, function="x", is_in_app=False)
    with_library = raised(1, "", "f", "g")
    with_library = replace(with_library, frames=(library, *with_library.frames, library))
    assert one == grouping.fingerprint_of("shop", [with_library])
    others = [
        grouping.fingerprint_of("blog", [raised(1, "", "f", "g")]),
        grouping.fingerprint_of("shop", [raised(1, "", "f", "h")]),
        grouping.fingerprint_of("shop", [raised(1, "", "f", "g", kind="ValueError")]),
        grouping.fingerprint_of("shop", [raised(1, "", "f", "g"), raised(1, "", "f")]),
    ]
    assert len({one, *others}) == 5


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (f"{ROOT}/releases/12-ab/src/shop/views.py", ("shop/views.py", True, 12)),
        (f"{ROOT}/builds/ab/src/manage.py", ("manage.py", True, 0)),
        (f"{ROOT}/builds/ab/src/lib/site-packages/x/y.py", ("x/y.py", False, 0)),
        (f"{ROOT}/releases/1-ab/venv/lib/python3.11/site-packages/a/b.py", ("a/b.py", False, 0)),
        ("/usr/lib/python3.11/json/decoder.py", ("json/decoder.py", False, 0)),
        ("/srv/steersman/apps/other/builds/ab/src/x.py",
         ("/srv/steersman/apps/other/builds/ab/src/x.py", False, 0)),
        ("<frozen importlib._bootstrap>", ("<frozen importlib._bootstrap>", False, 0)),
        ("app.py", ("app.py", True, 0)),
        ("", ("", False, 0)),
    ],
)  # fmt: skip
def test_files_are_told_as_people_know_them(file: str, expected: tuple[str, bool, int]) -> None:
    assert grouping.where(file, "shop") == expected


async def test_a_crash_says_how_and_what_was_raised_before(ship: Ship) -> None:
    ship.say("starting", *TRACEBACK)
    ship.hub.publish(Exited(time=101.0, origin=WEB, code=1, restarts=0))
    await asyncio.sleep(1)
    raised, crash = ship.seen
    assert (raised.kind, crash.kind) == ("exception", "crash")
    assert crash.title == "web ended with exit code 1"
    assert crash.exceptions == raised.exceptions
    assert [each.text for each in crash.breadcrumbs] == ["starting"]


@pytest.mark.parametrize(
    ("how", "kind", "title"),
    [
        ({"signal": "SIGSEGV", "has_core": True}, "crash",
         "web ended by signal SIGSEGV, and left a core"),
        ({"signal": "SIGKILL", "is_oom": True}, "oom", "web ended because memory ran out"),
    ],
)  # fmt: skip
async def test_signals_and_memory(
    ship: Ship, how: dict[str, object], kind: str, title: str
) -> None:
    ship.hub.publish(Exited(time=101.0, origin=WEB, **how))  # type: ignore[arg-type]
    await asyncio.sleep(1)
    assert [(each.kind, each.title) for each in ship.seen] == [(kind, title)]


async def test_a_crash_loop_is_one_error_that_became_worse(ship: Ship) -> None:
    for number in range(5):
        origin = replace(WEB, release=7 + number // 4)
        ship.hub.publish(Exited(time=100.0 + 5 * number, origin=origin, code=1))
        await asyncio.sleep(5)
    ship.hub.publish(Exited(time=1000.0, origin=WEB, code=1))
    await asyncio.sleep(1)
    kinds = [each.kind for each in ship.seen]
    assert kinds == ["crash", "crash", "crash-loop", "crash-loop", "crash-loop", "crash"]
    assert len({each.fingerprint for each in ship.seen}) == 1
    assert ship.seen[3].title == "web ends again and again with exit code 1"


async def test_troubles_of_the_controller(ship: Ship) -> None:
    def happened(reason: str, about: str, origin: Origin, text: str) -> Happening:
        return Happening(time=1.0, origin=origin, about=about, reason=reason, message=text)

    shop = Origin(app="shop", host="h1")
    ship.hub.publish(happened("ReleaseRejected", "App/shop", shop, "web-g8@1 is unhealthy\nmore"))
    ship.hub.publish(happened("HostLost", "Host/h2", Origin(host="h2"), "host h2: no route"))
    ship.hub.publish(happened("Healed", "App/shop", shop, "wrote a file"))
    await asyncio.sleep(0.1)
    assert [(each.kind, each.title, each.origin.host) for each in ship.seen] == [
        ("rollout-failed", "web-g8@1 is unhealthy", "h1"),
        ("host-unreachable", "host h2: no route", "h2"),
    ]


def test_reconciles_that_fail_are_told_once() -> None:
    failed = report_of_failure("Drift/shop@h1", SteersmanError("disk is full: free 12M"), 5.0)
    again = report_of_failure("Drift/shop@h1", SteersmanError("disk is full: free 99M"), 6.0)
    other = report_of_failure("Repository/fleet", RuntimeError("oops"))
    assert failed is not None and again is not None and other is not None
    assert (failed.kind, failed.origin.app, failed.origin.host) == (
        "reconcile-failed",
        "shop",
        "h1",
    )
    assert failed.fingerprint == again.fingerprint != other.fingerprint
    assert other.title == "RuntimeError: oops; this is a bug: report it"
    assert report_of_failure("App/shop", HostUnreachable("h1", "no route")) is None


async def test_no_value_of_a_secret_is_in_an_error(ship: Ship) -> None:
    ship.masks.learn([CANARY])
    lines = [line.replace("price", f"'{CANARY}'") for line in TRACEBACK]
    ship.say(f"token {CANARY}", *lines[:-1], f"ValueError: bad token {CANARY}", f"  {CANARY}")
    ship.hub.publish(
        Happening(time=1, origin=WEB, about="App/shop", reason="HostLost", message=CANARY)
    )
    ship.hub.publish(Exited(time=101.0, origin=WEB, code=1))
    await asyncio.sleep(1)
    assert {each.kind for each in ship.seen} == {"host-unreachable", "exception", "crash"}
    assert CANARY not in repr(ship.seen)
    assert any("bad token" in each.title for each in ship.seen)


async def test_what_waits_is_bounded_and_counted(ship: Ship) -> None:
    ship.sources.delay = 3600.0
    for _ in range(MOST_WAITING + 30):
        ship.say("failed", fields={"exc_info": "\n".join(TRACEBACK)})
    assert ship.errors.dropped == 30


async def test_memory_is_bounded_by_instances_and_lines(ship: Ship) -> None:
    for number in range(MOST_INSTANCES + 50):
        ship.say("x" * 10_000, origin=replace(WEB, instance=str(number)))
    assert len(ship.errors._instances) == MOST_INSTANCES
    for _ in range(3 * CRUMBS):
        ship.say("x" * 10_000)
    crumbs = ship.errors._instance(module._key(WEB), WEB).crumbs
    assert sum(len(each.text) for each in crumbs) <= CRUMBS * module.LONGEST_CRUMB


async def test_a_source_that_fails_costs_no_error(
    ship: Ship, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def broken(app: str, release: int) -> str:
        raise RuntimeError("no store")

    monkeypatch.setattr(ship.sources, "commit", broken)
    ship.say(*TRACEBACK)
    await asyncio.sleep(1)
    assert [each.title for each in ship.seen] == ["ZeroDivisionError: division by zero"]


def test_paths_of_ours_are_what_a_host_has(tmp_path: Path) -> None:
    """The layout is the hand's: `releases/N-digest/src` leads to `builds/digest/src`."""
    from steersman.hand.place import place_from

    names = ("run", "units", "sites", "tmpfiles", "supervisor", "proxy", "scope")
    place = place_from({"root": str(tmp_path), **dict.fromkeys(names, "")})
    release = place.app("shop", "releases", "3-abc", "src", "a.py")
    build = place.app("shop", "builds", "abc", "src", "a.py")
    assert grouping.where(release, "shop") == ("a.py", True, 3)
    assert grouping.where(build, "shop") == ("a.py", True, 0)
