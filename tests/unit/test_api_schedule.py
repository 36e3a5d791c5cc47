"""Cron into systemd's words, judged by systemd itself and by a cron written anew for this."""

import shutil
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.api.refusal import Refused
from steersman.api.schedule import calendars_of, check_time_zone

BASE = datetime(2027, 1, 30, 22, 58, tzinfo=UTC)
needs_systemd = pytest.mark.skipif(
    shutil.which("systemd-analyze") is None, reason="systemd-analyze is not here"
)

SAME = [
    ("* * * * *", ("*-*-* *:*:00",)),
    ("*/20 * * * *", ("*-*-* *:00,20,40:00",)),
    ("5 4 * * sun", ("Sun *-*-* 04:05:00",)),
    ("5 4 * * 7", ("Sun *-*-* 04:05:00",)),
    ("0 0 * * fri-7", ("Sun,Fri,Sat *-*-* 00:00:00",)),
    ("0 22 * * 1-5", ("Mon,Tue,Wed,Thu,Fri *-*-* 22:00:00",)),
    ("1-10/3,59 2 1 jan,JUL *", ("*-01,07-01 02:01,04,07,10,59:00",)),
    ("0 0 13 * 5", ("*-*-13 00:00:00", "Fri *-*-* 00:00:00")),
    ("@daily", ("*-*-* 00:00:00",)),
    ("@Weekly", ("Sun *-*-* 00:00:00",)),
    ("  *:*:0/2 ", ("*:*:0/2",)),
    ("Mon..Fri  10:00", ("Mon..Fri 10:00",)),
    ("*-*~1 06:00:00", ("*-*~1 06:00:00",)),
    ("hourly", ("hourly",)),
]


@pytest.mark.parametrize(("schedule", "wanted"), SAME)
def test_a_schedule_in_systemds_words(schedule: str, wanted: tuple[str, ...]) -> None:
    assert calendars_of(schedule) == wanted


def test_a_time_zone_is_said_with_every_calendar() -> None:
    assert calendars_of("0 3 1 * mon", "Europe/Berlin") == (
        "*-*-01 03:00:00 Europe/Berlin",
        "Mon *-*-* 03:00:00 Europe/Berlin",
    )


WRONG = [
    ("5/10 * * * *", '"5-59/10"'),
    ("*/90 * * * *", "0 to 59"),
    ("*/0 * * * *", "steps"),
    ("60 * * * *", '"60" as minute'),
    ("* 24 * * *", '"24" as hour'),
    ("* * 0 * *", "day of the month"),
    ("* * * foo *", "jan to dec"),
    ("* * * * 8", "day of the week"),
    ("* * 31 2 *", "never"),
    ("* * 31 4,6 *", "never"),
    ("* * ? * 1", '"?"'),
    ("* * L * *", '"L"'),
    ("1,,2 * * * *", "minute"),
    ("* * * * fri-mon", "day of the week"),
    ("0 0 */2 * 1", "two ways"),
    ("0 0 1 * */2", "two ways"),
    ("0 * * * * *", "6 fields"),
    ("@reboot", "@daily"),
    ("@every 5m", "@daily"),
    ("", "cron"),
    ("tomorrow", "cron"),
    ("*:*:*\nExecStart=/bin/sh", "cron"),
    ("daily UTC", "timeZone"),
    ("10:00 Europe/Berlin", "timeZone"),
]


@pytest.mark.parametrize(("schedule", "told"), WRONG)
def test_what_cannot_be_said_is_refused_with_the_way_out(schedule: str, told: str) -> None:
    with pytest.raises(Refused) as refused:
        calendars_of(schedule)
    assert told in str(refused.value)


@pytest.mark.parametrize("zone", ["../etc", "Europe/Berlin\n", "", "a/b/c/d", "%i", "UTC x"])
def test_a_time_zone_is_a_plain_name(zone: str) -> None:
    with pytest.raises(Refused):
        check_time_zone(zone)
    assert check_time_zone("America/Argentina/Buenos_Aires")


NAMES = {name: n for n, name in enumerate(["sun", "mon", "tue", "wed", "thu", "fri", "sat"])}
LOWS_HIGHS = ((0, 59), (0, 23), (1, 31), (1, 12), (0, 6))


def cron(schedule: str, after: datetime) -> Iterator[datetime]:
    """Yield the minutes that crontab(5) means: tried one by one, with nothing clever."""
    fields = schedule.split()
    sets = [set(_numbers(text, *span)) for text, span in zip(fields, LOWS_HIGHS, strict=True)]
    day = after.replace(second=0, microsecond=0)
    while True:
        in_month, in_week = day.day in sets[2], (day.isoweekday() % 7) in sets[4]
        either = in_month or in_week
        fits = either if "*" not in (fields[2], fields[4]) else in_month and in_week
        if not fits or day.month not in sets[3]:
            day = (day + timedelta(days=1)).replace(hour=0, minute=0)
            continue
        if day > after and day.hour in sets[1] and day.minute in sets[0]:
            yield day
        day += timedelta(minutes=1)


def _numbers(text: str, low: int, high: int) -> Iterator[int]:
    for item in text.split(","):
        span, _, step = item.partition("/")
        first, _, last = (f"{low}-{high}" if span == "*" else span).partition("-")
        ends = [NAMES.get(each, each) for each in (first, last or first)]
        yield from range(int(ends[0]), int(ends[1]) + 1, int(step or 1))


def systemd(schedule: str, after: datetime, count: int, zone: str = "UTC") -> list[datetime]:
    """Return the next times of a schedule, as `systemd-analyze` works them out."""
    found: set[datetime] = set()
    for calendar in calendars_of(schedule, zone):
        command = ["systemd-analyze", "calendar", f"--iterations={count}"]
        command += [f"--base-time={after:%Y-%m-%d %H:%M:%S} UTC", calendar]
        told = subprocess.run(
            command, capture_output=True, text=True, check=True, env={"TZ": "UTC"}
        )
        for line in told.stdout.splitlines():
            label, _, rest = line.strip().partition(": ")
            if label.startswith(("Next elapse", "Iter", "Iteration")) and rest.endswith("UTC"):
                text = " ".join(rest.split()[1:3])
                found.add(datetime.strptime(text, "%Y-%m-%d %H:%M:%S").replace(tzinfo=UTC))
    return sorted(found)[:count]


@needs_systemd
@pytest.mark.parametrize(
    "schedule",
    [
        "*/7 * * * *",
        "0 0 13 * fri",
        "1-10/3 2,4 * 1-3 mon-fri",
        "59 23 31 * *",
        "0 12 29 2 *",
        "30 6 1,15 */2 *",
        "0 0 1-7 * sun",
    ],
)
def test_systemd_runs_a_job_when_cron_would(schedule: str) -> None:
    wanted = list(islice(cron(schedule, BASE), 5))
    assert systemd(schedule, BASE, 5) == wanted


def _field(low: int, high: int) -> st.SearchStrategy[str]:
    numbers = st.integers(low, high)
    spans = st.tuples(numbers, numbers).map(lambda p: f"{min(p)}-{max(p)}")
    steps = st.tuples(spans, st.integers(1, high - low + 1)).map(lambda p: f"{p[0]}/{p[1]}")
    items = st.one_of(numbers.map(str), spans, steps)
    return st.one_of(st.just("*"), st.lists(items, min_size=1, max_size=3).map(",".join))


@needs_systemd
@settings(max_examples=25)
@given(st.tuples(*(_field(*span) for span in LOWS_HIGHS)).map(" ".join))
def test_systemd_agrees_with_cron_on_any_schedule(schedule: str) -> None:
    try:
        calendars_of(schedule)
    except Refused as refused:
        assert "never" in str(refused)
        return
    assert systemd(schedule, BASE, 2) == list(islice(cron(schedule, BASE), 2))


@needs_systemd
@pytest.mark.parametrize("schedule", [schedule for schedule, _ in SAME])
def test_systemd_reads_what_it_is_given(schedule: str) -> None:
    assert systemd(schedule, BASE, 1)


@needs_systemd
@pytest.mark.parametrize(
    ("schedule", "spring", "autumn"),
    [
        # Summer begins on 29 March 2026 at 01:00 UTC and ends on 25 October at 01:00 UTC.
        ("0 3 * * *", ["28 02:00", "29 01:00", "30 01:00"], ["24 01:00", "25 02:00", "26 02:00"]),
        # What does not exist is left out, what is there twice is taken once.
        ("30 2 * * *", ["28 01:30", "30 00:30"], ["24 00:30", "25 00:30", "26 01:30"]),
        ("30 * 29,25 * *", ["29 00:30", "29 01:30"], ["25 00:30", "25 02:30"]),
    ],
)
def test_a_zone_that_changes_its_clocks_runs_nothing_twice(
    schedule: str, spring: list[str], autumn: list[str]
) -> None:
    for month, told, day in ((3, spring, int(spring[0][:2])), (10, autumn, int(autumn[0][:2]))):
        after = datetime(2026, month, day, tzinfo=UTC)
        found = systemd(schedule, after, len(told), "Europe/Berlin")
        assert [f"{at:%d %H:%M}" for at in found] == told


@needs_systemd
def test_a_zone_without_summer_time_leaves_nothing_out() -> None:
    after = datetime(2026, 10, 25, tzinfo=UTC)
    found = systemd("*/30 * * * *", after, 8)
    assert [later - earlier for earlier, later in pairwise(found)] == [timedelta(minutes=30)] * 7
