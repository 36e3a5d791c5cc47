"""When a job runs: cron's five fields or systemd's calendar, as OnCalendar= expressions.

Syntax: crontab(5) with the names and macros of Vixie's cron; systemd.time(7).
"""

import re
from collections.abc import Sequence
from typing import Annotated, NamedTuple

from pydantic import AfterValidator, Field

from steersman.api.refusal import Refused, quoted

_MACROS = {
    "@yearly": "0 0 1 1 *",
    "@annually": "0 0 1 1 *",
    "@monthly": "0 0 1 * *",
    "@weekly": "0 0 * * 0",
    "@daily": "0 0 * * *",
    "@midnight": "0 0 * * *",
    "@hourly": "0 * * * *",
}
_FORMS = 'cron such as "*/5 * * * *" or @daily, or a systemd calendar such as "Mon *-*-* 06:30:00"'


class _Range(NamedTuple):
    """What one field of cron may say; `names` stand for numbers from `low` on."""

    what: str
    low: int
    high: int
    names: tuple[str, ...] = ()


_MONTHS = ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec")
_DAYS = ("sun", "mon", "tue", "wed", "thu", "fri", "sat")
_MINUTE, _HOUR = _Range("minute", 0, 59), _Range("hour", 0, 23)
_DAY, _MONTH = _Range("day of the month", 1, 31), _Range("month", 1, 12, _MONTHS)
_WEEKDAY = _Range("day of the week", 0, 7, _DAYS)
_ITEM = re.compile(r"(?:\*|(?P<first>\w+)(?:-(?P<last>\w+))?)(?:/(?P<step>\d+))?")
_LAST_DAYS = (31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)

_WORDS = (
    "minutely|hourly|daily|weekly|monthly|quarterly|semiannually|semi-annually|yearly|annually"
    "|biannually|bi-annually"
)
_WEEKDAY_WORD = (
    r"(?:mon(?:day)?|tue(?:sday)?|wed(?:nesday)?|thu(?:rsday)?|fri(?:day)?|sat(?:urday)?"
    r"|sun(?:day)?)"
)
_WEEKDAYS = rf"{_WEEKDAY_WORD}(?:(?:\.\.|-|,){_WEEKDAY_WORD})*,?"
_PART = r"(?:\*|\d+(?:\.\.\d+)?)(?:/\d+)?"
_PARTS = rf"{_PART}(?:,{_PART})*"
_SECOND = r"(?:\*|\d+(?:\.\d+)?(?:\.\.\d+(?:\.\d+)?)?)(?:/\d+(?:\.\d+)?)?"
_SECONDS = rf"{_SECOND}(?:,{_SECOND})*"
_DATE = rf"(?:{_PARTS}-)?{_PARTS}[-~]{_PARTS}"
_TIME = rf"{_PARTS}:{_PARTS}(?::{_SECONDS})?"
_CALENDAR = re.compile(
    rf"(?:{_WORDS}|(?=\S)(?:{_WEEKDAYS})?(?:(?:^|\s+|\b){_DATE})?(?:(?:^|\s+|\b){_TIME})?)",
    re.IGNORECASE,
)
_TIME_ZONE = re.compile(r"[A-Za-z][A-Za-z0-9_+-]*(?:/[A-Za-z0-9_+-]+){0,2}")


def calendars_of(schedule: str, time_zone: str | None = None) -> tuple[str, ...]:
    """Return the OnCalendar= expressions that together say `schedule`, in `time_zone`.

    Without one, the host's own zone counts. Raises Refused.
    """
    text = _MACROS.get(schedule.strip().lower(), schedule)
    fields = text.split()
    if text.startswith("@"):
        raise Refused(quoted(schedule), f"one of {', '.join(_MACROS)}, or {_FORMS}")
    if len(fields) == 5:
        found = _from_cron(fields)
    elif len(fields) > 5:
        raise Refused(
            f"{quoted(schedule)} of {len(fields)} fields",
            'five fields of cron; for seconds, a systemd calendar such as "*:*:0/10"',
        )
    else:
        found = (_calendar(text),)
    return tuple(f"{each} {time_zone}" if time_zone is not None else each for each in found)


def check_schedule(schedule: str) -> str:
    """Return `schedule` when it can be said to systemd."""
    calendars_of(schedule)
    return schedule


def check_time_zone(name: str) -> str:
    """Return `name` when it has the form of a zone in the IANA database."""
    if not _TIME_ZONE.fullmatch(name):
        raise Refused(quoted(name), "the name of a time zone such as Europe/Berlin or UTC")
    return name


def _calendar(text: str) -> str:
    words = " ".join(text.split())
    if not _CALENDAR.fullmatch(words):
        raise Refused(quoted(text), f"{_FORMS}; the zone goes into `timeZone`")
    return words


def _from_cron(fields: Sequence[str]) -> tuple[str, ...]:
    minutes, hours, days, months = (
        _numbers(text, field)
        for text, field in zip(fields, (_MINUTE, _HOUR, _DAY, _MONTH), strict=False)
    )
    weekdays = {number % 7 for number in _numbers(fields[4], _WEEKDAY)}
    _refuse_impossible(days, months)
    time = f"{_listed(hours, _HOUR)}:{_listed(minutes, _MINUTE)}:00"

    def on(chosen: set[int], named: set[int]) -> str:
        month = _listed(months, _MONTH)
        week = "" if len(named) == 7 else ",".join(_DAYS[n].title() for n in sorted(named)) + " "
        return f"{week}*-{month}-{_listed(chosen, _DAY)} {time}"

    every_day, every_weekday = set(range(1, 32)), set(range(7))
    is_day_open, is_weekday_open = fields[2] == "*", fields[4] == "*"
    if is_day_open or is_weekday_open:
        return (on(days, weekdays),)
    _refuse_ambiguous(fields)
    # crontab(5): when both are restricted, either of them is enough.
    return on(days, every_weekday), on(every_day, weekdays)


def _refuse_ambiguous(fields: Sequence[str]) -> None:
    """Refuse where crons disagree: for Vixie's a day `*/2` is a `*`, for Kubernetes it is not."""
    for text, field in ((fields[2], _DAY), (fields[4], _WEEKDAY)):
        if text.startswith("*"):
            raise Refused(
                f"{quoted(text)} as {field.what} beside a restricted other day, which crons"
                " read in two ways",
                f'a list such as "{field.low}-{min(field.high, 31)}/2" (then either day is enough),'
                " or a systemd calendar",
            )


def _refuse_impossible(days: set[int], months: set[int]) -> None:
    if all(min(days) > _LAST_DAYS[month - 1] for month in months):
        raise Refused(f"day {min(days)} of a month that never has it", "a day that comes")


def _numbers(text: str, field: _Range) -> set[int]:
    """Return the numbers that one field of cron means."""
    found: set[int] = set()
    for item in text.split(","):
        match = _ITEM.fullmatch(item)
        if match is None:
            raise _refused(item, field)
        first, last, step = match["first"], match["last"], match["step"]
        low, high = field.low, min(field.high, 6) if field is _WEEKDAY else field.high
        if first is not None:
            low = _number(first, field)
            high = low if last is None else _number(last, field)
            if step is not None and last is None:
                allowed = f'a range before the slash: "{first}-{field.high}/{step}"'
                raise Refused(f"{quoted(item)} as {field.what}", allowed)
        stride = int(step) if step is not None else 1
        if low > high or not 0 < stride <= field.high - field.low + 1:
            raise _refused(item, field)
        found.update(range(low, high + 1, stride))
    return found


def _number(text: str, field: _Range) -> int:
    if text.lower() in field.names:
        return field.names.index(text.lower()) + field.low
    if not text.isdecimal() or not field.low <= int(text) <= field.high:
        raise _refused(text, field)
    return int(text)


def _refused(text: str, field: _Range) -> Refused:
    names = f" or {field.names[0]} to {field.names[-1]}" if field.names else ""
    span = f"{field.low} to {field.high}{names}"
    return Refused(
        f"{quoted(text)} as {field.what}", f"{span}, lists 1,2, ranges 1-5, steps */2 within that"
    )


def _listed(numbers: set[int], field: _Range) -> str:
    if len(numbers) == field.high - field.low + 1:
        return "*"
    return ",".join(f"{number:02d}" for number in sorted(numbers))


Schedule = Annotated[
    str,
    AfterValidator(check_schedule),
    Field(examples=["*/5 * * * *", "@daily", "Mon..Fri *-*-* 06:30:00"]),
]
TimeZone = Annotated[str, AfterValidator(check_time_zone), Field(examples=["Europe/Berlin", "UTC"])]
