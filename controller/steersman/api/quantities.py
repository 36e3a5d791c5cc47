"""Durations, sizes and percentages: how people write them, and what they mean."""

import math
import re
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator, Field, PlainSerializer

from steersman.api.refusal import Refused, quoted

_DURATION = re.compile(r"(?:\d+(?:\.\d+)?(?:ms|s|m|h|d))+")
_DURATION_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_MAX_SECONDS = 366 * 86400.0

_SIZE = re.compile(r"(\d+(?:\.\d+)?)([kKMGT]i?)?")
_BYTES = {
    "Ti": 1 << 40,
    "T": 10**12,
    "Gi": 1 << 30,
    "G": 10**9,
    "Mi": 1 << 20,
    "M": 10**6,
    "Ki": 1 << 10,
    "k": 1000,
}
_MAX_BYTES = 1 << 60

_PERCENT = re.compile(r"(\d{1,3})%")


def parse_duration(value: object) -> float:
    """Return seconds for `30s`, `10m`, `1h30m`, `250ms` or a plain number of seconds."""
    allowed = "a duration such as 30s, 10m, 1h30m, or a number of seconds, at most 366d"
    if isinstance(value, int | float) and not isinstance(value, bool):
        seconds = float(value) if abs(value) <= _MAX_SECONDS else math.inf
    elif isinstance(value, str) and _DURATION.fullmatch(value):
        parts = _DURATION_PART.findall(value)
        seconds = sum(float(number) * _SECONDS[unit] for number, unit in parts)
    else:
        raise Refused(_described(value), allowed)
    if not 0 <= seconds <= _MAX_SECONDS:
        raise Refused(_described(value), allowed)
    return seconds


def format_duration(seconds: float) -> str:
    """Return the shortest text that `parse_duration` reads as `seconds`."""
    whole = int(seconds)
    if whole != seconds:
        return f"{seconds:f}".rstrip("0").rstrip(".") + "s"
    parts = []
    for unit, size in (("h", 3600), ("m", 60), ("s", 1)):
        count, whole = divmod(whole, size)
        if count:
            parts.append(f"{count}{unit}")
    return "".join(parts) or "0s"


def parse_size(value: object) -> int:
    """Return bytes for `512M` (10^6), `512Mi` (2^20), `1G`, or a plain number, as Kubernetes."""
    allowed = "a size such as 512M, 512Mi, 1G, or a number of bytes"
    if isinstance(value, int) and not isinstance(value, bool):
        size = float(value) if abs(value) <= _MAX_BYTES else math.inf
    elif isinstance(value, str) and (match := _SIZE.fullmatch(value)):
        number, unit = match.groups()
        factor = 1 if unit is None else _BYTES[{"K": "k", "ki": "Ki"}.get(unit, unit)]
        size = float(number) * factor
    else:
        raise Refused(_described(value), allowed)
    if not 1 <= size <= _MAX_BYTES:
        raise Refused(_described(value), allowed)
    return round(size)


def format_size(size: int) -> str:
    """Return the text with the fewest digits that `parse_size` reads as `size`."""
    exact = [(size // factor, unit) for unit, factor in _BYTES.items() if size % factor == 0]
    count, unit = min(exact, default=(size, ""))
    return f"{count}{unit}"


def parse_amount(value: object) -> int | str:
    """Return a whole number, or a percentage such as `25%`, unchanged."""
    if isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= 10_000:
        return value
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)) and int(match[1]) <= 100:
        return value
    raise Refused(_described(value), "a whole number (0 or more) or a percentage from 0% to 100%")


def parse_room(value: object) -> int | str:
    """Return bytes for a size, 0 for none, or a percentage such as `5%` unchanged."""
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)) and int(match[1]) < 100:
        return value
    if value == 0 and isinstance(value, int) and not isinstance(value, bool):
        return 0
    try:
        return parse_size(value)
    except Refused:
        allowed = "a size such as 512M or 1G, a percentage of the disk such as 5%, or 0"
        raise Refused(_described(value), allowed) from None


def format_room(room: int | str) -> int | str:
    """Return what `parse_room` reads as `room`."""
    return format_size(room) if isinstance(room, int) and room > 0 else room


def amount_of(amount: int | str, total: int, *, round_up: bool) -> int:
    """Return how many of `total` an IntOrPercent means (surge rounds up, unavailable down)."""
    if isinstance(amount, int):
        return amount
    share = int(amount.removesuffix("%")) * total
    return -(-share // 100) if round_up else share // 100


def _described(value: object) -> str:
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, int | float):
        # Python refuses to print integers of more than 4300 digits.
        return str(value) if abs(value) < 1e18 else "a number that is too large"
    return "nothing" if value is None else f"a {'list' if isinstance(value, list) else 'mapping'}"


def _check_positive(seconds: float) -> float:
    if seconds <= 0:
        raise Refused("no time at all", "a duration above zero, such as 30s")
    return seconds


Duration = Annotated[
    float,
    BeforeValidator(parse_duration, json_schema_input_type=str | float),
    PlainSerializer(format_duration, return_type=str, when_used="json"),
    Field(examples=["30s", "10m", "1h30m"]),
]
Timeout = Annotated[Duration, AfterValidator(_check_positive)]
Size = Annotated[
    int,
    BeforeValidator(parse_size, json_schema_input_type=str | int),
    PlainSerializer(format_size, return_type=str, when_used="json"),
    Field(examples=["512M", "512Mi", "1G"]),
]
Room = Annotated[
    int | str,
    BeforeValidator(parse_room, json_schema_input_type=str | int),
    PlainSerializer(format_room, return_type=int | str, when_used="json"),
    Field(examples=["512M", "5%"]),
]
IntOrPercent = Annotated[
    int | str,
    BeforeValidator(parse_amount, json_schema_input_type=str | int),
    Field(examples=[1, "25%"]),
]
