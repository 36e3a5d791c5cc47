"""Lines: their level in the formats that programs print, and what a JSON line says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.telemetry.lines import LONGEST_FIELD, MOST_FIELDS, read


@pytest.mark.parametrize(
    ("line", "level"),
    [
        ("[2026-11-25 22:27:25 +0000] [125] [ERROR] Exception in worker process", "error"),
        ("[2026-11-25 22:27:25 +0000] [125] [INFO] Booting worker with pid: 127", "info"),
        ("ERROR:    Exception in ASGI application", "error"),
        ("WARNING:root:no wind", "warning"),
        ("2026-11-25 22:27:25,123 - shop.views - CRITICAL - no sea", "critical"),
        ("[2026-11-25 22:27:25,123: WARNING/MainProcess] late", "warning"),
        ("DEBUG shop.views sailing", "debug"),
        ("2026-11-25 22:27.25 [error    ] no wind   port=4", "error"),
        ('time="2026-11-25" level=warning msg="no wind"', "warning"),
        ("no errors, no ERRORS-AT-ALL word here", "info"),
        ('192.0.2.1 - - [25/Nov/2026] "GET /ERROR HTTP/1.1" 200 5', "info"),
        ("", "info"),
    ],
)
def test_the_level_of_a_line(line: str, level: str) -> None:
    assert read(line) == (line, level, {})


@pytest.mark.parametrize(("priority", "level"), [(3, "error"), (4, "warning"), (6, "info")])
def test_a_line_that_names_no_level_has_its_priority(priority: int, level: str) -> None:
    assert read("the mast broke", priority).level == level


@pytest.mark.parametrize(
    ("said", "level"),
    [
        ({"level": "ERROR"}, "error"),
        ({"levelname": "WARNING"}, "warning"),
        ({"severity": "crit"}, "critical"),
        ({"level": 50}, "critical"),
        ({"level": 3}, "error"),
        ({"level": True}, "info"),
        ({}, "info"),
    ],
)
def test_a_json_line_is_its_message_and_fields(said: dict[str, object], level: str) -> None:
    line = json.dumps({"message": "no wind", "timestamp": "now", "port": 4, **said})
    assert read(line) == ("no wind", level, {"port": 4})


def test_fields_are_bounded() -> None:
    many = {f"f{number}": "x" * 10_000 for number in range(100)}
    fields = read(json.dumps(many)).fields
    assert len(fields) == MOST_FIELDS
    assert {len(str(value)) for value in fields.values()} == {LONGEST_FIELD + 1}


@given(st.text())
def test_any_text_is_a_line(text: str) -> None:
    assert isinstance(read(text).text, str)


@given(st.dictionaries(st.text(), st.recursive(st.none() | st.floats() | st.text(), st.lists)))
def test_any_json_is_a_line(data: dict[str, object]) -> None:
    read(json.dumps(data))
