"""What a line of a log says: its level, and the fields of one that is JSON. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from steersman.api.signals import Level, Scalar

MOST_FIELDS = 40
LONGEST_FIELD = 2000
LONGEST_TEXT = 16_000
"""Of a field with several lines: its end says what a traceback was about."""
LOOKED_AT = 160
"""Characters at a line's beginning in which its level is looked for."""

_WORDS: Mapping[str, Level] = {
    "trace": "debug",
    "debug": "debug",
    "info": "info",
    "information": "info",
    "notice": "info",
    "success": "info",
    "warn": "warning",
    "warning": "warning",
    "err": "error",
    "error": "error",
    "severe": "error",
    "critical": "critical",
    "crit": "critical",
    "fatal": "critical",
    "alert": "critical",
    "emergency": "critical",
}
# A level is a word of its own in capitals: `ERROR:`, `[ERROR]`, `ERROR/MainProcess`, `| ERROR |`.
_NAMED = re.compile(
    r"(?<![\w.\-/\"'=])(TRACE|DEBUG|INFO|NOTICE|SUCCESS|WARN|WARNING|ERR|ERROR|SEVERE|CRITICAL|CRIT"
    r"|FATAL|ALERT|EMERGENCY)(?=[\]:/|,\s\-]|$)"
)
# logfmt's and structlog's: level=error, [error    ].
_TAGGED = re.compile(r"(?:\blevel=\"?|\[)([a-z]{3,11})(?: *\]|\"?(?=\s|$))")
_PRIORITIES: Mapping[int, Level] = {
    0: "critical",
    1: "critical",
    2: "critical",
    3: "error",
    4: "warning",
    7: "debug",
}
_LEVELS = ("level", "levelname", "severity", "log.level", "lvl")
_MESSAGES = ("message", "msg", "event", "text")
_TIMES = frozenset({"time", "timestamp", "@timestamp", "ts", "asctime"})


class Said(NamedTuple):
    """What a line says."""

    text: str
    level: Level
    fields: Mapping[str, Scalar]


_NO_FIELDS: Mapping[str, Scalar] = {}


def read(line: str, priority: int = 6) -> Said:
    """Return what a line says; `priority` is syslog's, for a line that names no level itself."""
    if line.startswith("{") and line.endswith("}"):
        said = _read_json(line, priority)
        if said is not None:
            return said
    return Said(line, _level_in(line) or _PRIORITIES.get(priority, "info"), _NO_FIELDS)


def _level_in(line: str) -> Level | None:
    found = _NAMED.search(line, 0, LOOKED_AT)
    if found is not None:
        return _WORDS[found[1].lower()]
    for tagged in _TAGGED.finditer(line, 0, LOOKED_AT):
        if tagged[1] in _WORDS:
            return _WORDS[tagged[1]]
    return None


def _read_json(line: str, priority: int) -> Said | None:
    try:
        data = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(data, dict):
        return None
    level_key = next((key for key in _LEVELS if key in data), None)
    text_key = next((key for key in _MESSAGES if isinstance(data.get(key), str)), None)
    level = _level_of(data[level_key]) if level_key is not None else None
    text = data[text_key] if text_key is not None else line
    known = {level_key, text_key}
    rest = ((k, v) for k, v in data.items() if k not in known and k not in _TIMES)
    fields = {
        key[:100]: _scalar(value) for (key, value), _ in zip(rest, range(MOST_FIELDS), strict=False)
    }
    return Said(text, level or _PRIORITIES.get(priority, "info"), fields)


def _level_of(value: Any) -> Level | None:
    """Read a name, or a number: Python's and bunyan's tens, syslog's below eight."""
    if isinstance(value, str):
        return _WORDS.get(value.strip().lower())
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if value < 8:
        return _PRIORITIES.get(int(value), "info")
    for least, level in ((50, "critical"), (40, "error"), (30, "warning"), (20, "info")):
        if value >= least:
            return level  # type: ignore[return-value]
    return "debug"


def _scalar(value: Any) -> Scalar:
    if value is None or isinstance(value, bool | int | float):
        return value
    text = value if isinstance(value, str) else orjson.dumps(value).decode()
    most = LONGEST_TEXT if "\n" in text or "\\n" in text else LONGEST_FIELD
    return text if len(text) <= most else text[:most] + "…"
