"""The sections that descriptions share: fields, tables, conditions and events."""

from collections.abc import Mapping, Sequence
from datetime import datetime

from steersman.api.meta import Condition, ObjectMeta
from steersman.cli.tables import age, table
from steersman.cli.text import one_line
from steersman.control.status import first_sentence
from steersman.store.protocol import Event

WIDTH = 14


def field(name: str, value: object) -> str:
    """Return one line, aligned with the other fields."""
    return f"{name + ':':{WIDTH}}{one_line(str(value))}\n"


def section(name: str, rows: Sequence[Sequence[str]]) -> str:
    """Return a table under its name; without rows below the header, that there is none."""
    if len(rows) < 2:
        return field(name, "<none>")
    return f"{name}:\n" + "".join(f"  {line}\n" for line in table(rows).splitlines())


def pairs(values: Mapping[str, str]) -> str:
    return ", ".join(f"{key}={value}" for key, value in values.items()) or "<none>"


def metadata_fields(meta: ObjectMeta, now: datetime) -> str:
    text = field("Name", meta.name) + field("Labels", pairs(meta.labels))
    if meta.annotations:
        text += field("Annotations", pairs(meta.annotations))
    made = meta.creation_timestamp
    if made is not None:
        text += field("Created", f"{made.isoformat()} ({age(made.isoformat(), now)} ago)")
    return text


def conditions_section(conditions: Sequence[Condition], now: datetime) -> str:
    rows = [["TYPE", "STATUS", "REASON", "SINCE", "MESSAGE"]]
    for each in conditions:
        moved = each.last_transition_time
        since = age(moved.isoformat() if moved is not None else None, now)
        rows.append([each.type, each.status, each.reason, since, each.message])
    return section("Conditions", rows)


def events_section(events: Sequence[Event], now: datetime) -> str:
    rows = [["LAST SEEN", "TYPE", "REASON", "HOST", "MESSAGE"]]
    for each in events:
        often = f" (x{each.count})" if each.count > 1 else ""
        message = first_sentence(each.message) + often
        row = [age(each.last, now), each.type, each.reason, each.host or "-", message]
        rows.append(row)
    return section("Events", rows)
