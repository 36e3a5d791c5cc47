"""Samples are kept for a day, rolled up, bounded, and asked for as rates and sums."""

import math
import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from steersman.api.signals import Sample
from steersman.telemetry.hub import Hub
from steersman.telemetry.registry import MOST_LABELS
from steersman.telemetry.samples import Bounds, Samples
from steersman.telemetry.sampling import BadRange, spread

NOON = 1_764_072_000.0
"""A whole minute."""


class Clock:
    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "state"
    folder.mkdir(mode=0o700)
    return folder / "samples.db"


@asynccontextmanager
async def kept(path: Path, clock: Clock, **bounds: float) -> AsyncIterator[tuple[Samples, Hub]]:
    samples, hub = Samples(path, Bounds(every=3600, **bounds), clock), Hub()  # type: ignore[arg-type]
    async with samples.keeping(hub):
        yield samples, hub


def gauge(time: float, value: float, name: str = "load", **labels: str) -> Sample:
    return Sample(time=time, name=name, value=value, labels=labels)


def counter(time: float, value: float, name: str = "hits_total", **labels: str) -> Sample:
    return Sample(time=time, name=name, value=value, labels=labels, kind="counter")


def every(seconds: int, start: float, end: float) -> Iterator[float]:
    return (start + step for step in range(0, int(end - start), seconds))


async def test_a_gauge_is_averaged_over_each_step(path: Path, clock: Clock) -> None:
    async with kept(path, clock) as (samples, hub):
        for time, value in ((0, 1.0), (5, 3.0), (10, 8.0), (61, 4.0)):
            hub.publish(gauge(NOON + time, value, host="a"))
        clock.now = NOON + 70
        (raw,) = await samples.series("load", start=NOON, step=10)
        assert raw.labels == {"host": "a"}
        assert raw.points == [(NOON, 2.0), (NOON + 10, 8.0), (NOON + 60, 4.0)]
        for how, value in (("min", 1.0), ("max", 8.0), ("last", 8.0), ("avg", 4.0)):
            (minutes,) = await samples.series("load", start=NOON, step=60, how=how)  # type: ignore[arg-type]
            assert minutes.points == [(NOON, value), (NOON + 60, 4.0)], how


async def test_rates_survive_a_counter_that_begins_again(path: Path, clock: Clock) -> None:
    async with kept(path, clock) as (samples, hub):
        for time, value in ((0, 100), (10, 130), (20, 20), (30, 50)):
            hub.publish(counter(NOON + time, value))
        clock.now = NOON + 40
        (rates,) = await samples.series("hits_total", start=NOON, step=10, rate=True)
        # The first value says only where it stood; 20 after 130 is 20 more, not 110 fewer.
        assert rates.points == [(NOON, 3), (NOON + 10, 2), (NOON + 20, 3)]
        # Of the newest step only a part is known: it is no fall.
        hub.publish(counter(NOON + 36, 68))
        (rates,) = await samples.series("hits_total", start=NOON + 30, step=10, rate=True)
        assert rates.points == [(NOON + 30, 3)]
        (grown,) = await samples.series("hits_total", start=NOON, step=60)
        assert grown.points == [(NOON, 98)]


async def test_growth_belongs_to_the_time_in_which_it_was(path: Path, clock: Clock) -> None:
    async with kept(path, clock) as (samples, hub):
        # Seen every 10 s or so, and once not for four minutes: it grew by 1 a second all along.
        times = (0, 11, 19.5, 31, 39, 51, 60, 300, 310)
        for time in times:
            hub.publish(counter(NOON + time, time))
            clock.now = NOON + time
        (fine,) = await samples.series("hits_total", start=NOON, end=NOON + 50, step=10, rate=True)
        assert [value for _, value in fine.points] == pytest.approx([1] * 5)
        (coarse,) = await samples.series("hits_total", start=NOON, step=60, rate=True)
        assert [value for _, value in coarse.points[:5]] == pytest.approx([1] * 5)
        clock.now += 7200
        hub.publish(counter(clock.now, 310 + 7200))
        (grown,) = await samples.series("hits_total", start=NOON, step=3600)
        assert sum(value for _, value in grown.points) == pytest.approx(310 + 7200)


async def test_what_grew_once_and_was_told_of_once_is_shown(path: Path, clock: Clock) -> None:
    async with kept(path, clock) as (samples, hub):
        # A counter of requests: told of only when it grew.
        hub.publish(counter(NOON + 1, 0))
        hub.publish(counter(NOON + 6, 1))
        ask = {"start": NOON, "step": 20, "rate": True}
        clock.now = NOON + 7
        assert await samples.series("hits_total", **ask) == []  # type: ignore[arg-type]
        clock.now = NOON + 40
        (one,) = await samples.series("hits_total", **ask)  # type: ignore[arg-type]
        assert one.points == [(NOON, 1 / 20)]


@given(st.floats(0, 1e4), st.floats(0, 2e4), st.floats(0.001, 1e6))
def test_nothing_that_grew_is_lost_or_made_up(start: float, time: float, grown: float) -> None:
    parts = spread(NOON + start, NOON + start + time, grown)
    assert sum(part for _, part in parts) == pytest.approx(grown)
    assert all(part >= 0 and t % 10 == 0 for t, part in parts)
    assert len(parts) <= 12
    assert parts[-1][0] <= NOON + start + time < parts[-1][0] + 3600


async def test_series_are_summed_over_labels(path: Path, clock: Clock) -> None:
    async with kept(path, clock) as (samples, hub):
        for time in (0, 10, 20):
            for host, app in (("a", "shop"), ("b", "shop"), ("a", "desk")):
                hub.publish(counter(NOON + time, time, app=app, host=host))
        clock.now = NOON + 30
        ask = {"start": NOON, "step": 10, "rate": True}
        summed = await samples.series("hits_total", by=("app",), **ask)  # type: ignore[arg-type]
        assert [(one.labels, one.points[1]) for one in summed] == [
            ({"app": "desk"}, (NOON + 10, 1)),
            ({"app": "shop"}, (NOON + 10, 2)),
        ]
        (all_,) = await samples.series("hits_total", {"host": "a"}, by=(), **ask)  # type: ignore[arg-type]
        assert (all_.labels, all_.points[1]) == ({}, (NOON + 10, 2))
        mine = await samples.series("hits_total", visible=lambda each: each["app"] == "desk", **ask)  # type: ignore[arg-type]
        assert [one.labels["app"] for one in mine] == ["desk"]


async def test_a_sum_of_gauges_does_not_dip_where_one_is_late(path: Path, clock: Clock) -> None:
    async with kept(path, clock) as (samples, hub):
        for time in (0, 10, 20):
            hub.publish(gauge(NOON + time, 1, host="a"))
            if time != 10:
                hub.publish(gauge(NOON + time, 1, host="b"))
        clock.now = NOON + 30
        (one,) = await samples.series("load", start=NOON, step=10, by=())
        assert [value for _, value in one.points] == [2, 2, 2]
        (most,) = await samples.series("load", start=NOON, step=10, by=(), how="max")
        assert [value for _, value in most.points] == [1, 1, 1]


async def test_all_is_there_after_a_restart_and_counters_go_on(path: Path, clock: Clock) -> None:
    async with kept(path, clock) as (_, hub):
        hub.publish(counter(NOON, 10, app="shop"))
        hub.publish(gauge(NOON, 1))
    async with kept(path, clock) as (samples, hub):
        hub.publish(counter(NOON + 5, 15, app="shop"))
        hub.publish(gauge(NOON + 7, 3))
        clock.now = NOON + 10
        (grown,) = await samples.series("hits_total", start=NOON, step=10)
        assert grown.points == [(NOON, 5)]
        (load,) = await samples.series("load", start=NOON, step=60)
        assert load.points == [(NOON, 2)]
        assert samples.names() == {"hits_total": "counter", "load": "gauge"}
        assert [(one.labels, one.value) for one in samples.latest("hits_total")] == [
            ({"app": "shop"}, 15)
        ]


async def test_minutes_are_whole_also_after_a_kill(path: Path, clock: Clock) -> None:
    killed = Samples(path, Bounds(every=3600), clock)
    hub = Hub()
    async with killed.keeping(hub):
        hub.publish(gauge(NOON, 1))
        await killed.series("load", start=NOON, step=60)
        clock.now = NOON + 70
        hub.publish(gauge(NOON + 50, 3))
        hub.publish(gauge(NOON + 65, 5))
        # Another one takes over what was written: this one never comes to its end.
        await killed.series("load", start=NOON, step=10)
        async with kept(path, clock) as (samples, _):
            (load,) = await samples.series("load", start=NOON, step=60)
            assert load.points == [(NOON, 2), (NOON + 60, 5)]


async def test_a_minute_is_rolled_up_once_it_is_over(path: Path, clock: Clock) -> None:
    kept_minutes = "SELECT t, sum, last FROM points WHERE length = 60"
    async with kept(path, clock) as (samples, hub):
        for time, value in ((0, 1.0), (59, 3.0), (61, 7.0)):
            hub.publish(gauge(NOON + time, value))
        for now, found in ((70, []), (80, [(NOON, 4, 3)])):
            clock.now = NOON + now
            await samples.series("load", start=NOON, step=10)
            assert await samples._file.read(lambda file: file.rows(kept_minutes)) == found, now


async def test_raw_points_last_an_hour_and_minutes_a_day(path: Path, clock: Clock) -> None:
    async with kept(path, clock) as (samples, hub):
        for time in every(30, NOON, NOON + 3 * 3600):
            clock.now = time
            hub.publish(gauge(time, 1))
        clock.now = NOON + 3 * 3600
        (load,) = await samples.series("load", start=NOON)
        assert load.points[0][0] == NOON and len(load.points) == 180
        rows = sqlite3.connect(path).execute("SELECT length, min(t) FROM points GROUP BY length")
        found = dict(rows.fetchall())
        assert (found[60], found[10]) == (NOON, clock.now - 3600 - 120)
        clock.now = NOON + 27 * 3600 + 600
        assert await samples.series("load", start=NOON) == []
        assert samples.names() == {}


async def test_the_file_stays_within_its_bound_and_the_oldest_go(path: Path, clock: Clock) -> None:
    bound = 400_000
    with capture_logs() as logs:
        async with kept(path, clock, size=bound) as (samples, hub):
            for time in every(60, NOON, NOON + 6 * 3600):
                clock.now = time
                for each in range(60):
                    hub.publish(gauge(time, math.sin(each + time), series=str(each)))
                await samples.series("load", {"series": "0"}, start=time)
            assert path.stat().st_size <= bound
            (left, *_) = await samples.series("load", start=NOON, step=60)
    assert left.points[-1][0] == clock.now
    assert NOON < left.points[0][0] < clock.now - 600
    assert "samples_cut_short" in {each["event"] for each in logs}
    assert samples.dropped == {}


async def test_series_are_bounded_and_one_app_cannot_take_all(path: Path, clock: Clock) -> None:
    async with kept(path, clock, series=8) as (samples, hub):
        for each in range(5):
            hub.publish(gauge(NOON, 1, app="loud", tag=str(each)))
        assert samples.dropped == {"too many series": 3}
        for each in range(7):
            hub.publish(gauge(NOON, 1, host=str(each)))
        assert (samples.dropped, len(samples.latest("load"))) == ({"too many series": 4}, 8)
        # What has rested for long makes room for what is new.
        clock.now = NOON + 700
        hub.publish(gauge(clock.now, 1, host="new"))
        assert [one.labels for one in samples.latest("load", {"host": "new"})] == [{"host": "new"}]


async def test_what_no_file_could_hold_is_counted(path: Path, clock: Clock) -> None:
    async with kept(path, clock, waiting=1) as (samples, hub):
        many = {f"l{each}": "" for each in range(MOST_LABELS + 1)}
        for bad in (
            gauge(NOON, math.nan),
            gauge(NOON, math.inf),
            gauge(NOON - 4000, 1),
            gauge(NOON + 4000, 1),
            gauge(NOON, 1, name="n" * 300),
            gauge(NOON, 1, label="v" * 3000),
            gauge(NOON, 1, **many),
        ):
            hub.publish(bad)
        assert samples.dropped == {"bad": 7}
        hub.publish(gauge(NOON, 1, label="\ud800"))
        hub.publish(gauge(NOON, 1))
        hub.publish(gauge(NOON + 10, 1))
        assert samples.dropped == {"bad": 7, "too many series": 1, "not stored": 1}


@pytest.mark.parametrize("damage", ["no database", "another program's", "torn"])
async def test_a_damaged_file_is_put_aside_with_a_word(
    path: Path, clock: Clock, damage: str
) -> None:
    if damage == "another program's":
        sqlite3.connect(path).executescript("CREATE TABLE t (x); PRAGMA application_id = 7")
    else:
        async with kept(path, clock) as (_, hub):
            for each in range(500):
                hub.publish(gauge(NOON, 1, series=str(each)))
        whole = path.read_bytes()
        path.write_bytes(b"x" * 5000 if damage == "no database" else whole[:8192] + b"x" * 40_000)
    path.chmod(0o600)
    with capture_logs() as logs:
        async with kept(path, clock) as (samples, hub):
            hub.publish(gauge(NOON, 1, series="0"))
            assert len(await samples.series("load", start=NOON)) == 1
    (said,) = (each for each in logs if each["event"] == "file_put_aside")
    assert said["kept_as"] == "samples.db.damaged"
    assert (path.parent / "samples.db.damaged").exists()


async def test_a_file_that_cannot_be_written_is_said_and_costs_samples_alone(
    path: Path, clock: Clock
) -> None:
    path.mkdir()
    with capture_logs() as logs:
        async with kept(path, clock) as (samples, hub):
            hub.publish(gauge(NOON, 1))
            assert samples.dropped == {"not stored": 1}
    assert {each["event"] for each in logs} == {"samples_not_stored"}


async def test_no_range_is_too_much_and_no_step_too_little(path: Path, clock: Clock) -> None:
    async with kept(path, clock) as (samples, hub):
        hub.publish(gauge(NOON, 1))
        for step in (0, -5):
            with pytest.raises(BadRange, match="from 10 on"):
                await samples.series("load", step=step)
        assert await samples.series("load", start=NOON + 50, end=NOON - 50) == []
        (whole,) = await samples.series("load", start=-1e18, end=1e18)
        assert len(whole.points) == 1
        (fine,) = await samples.series("load", start=NOON - 86400, step=1)
        assert fine.points == [(NOON, 1)]
