"""What is heard of a host becomes signals; where it was left is known to the next daemon."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.api.mask import Masks
from steersman.api.secret import MASK
from steersman.api.signals import Exited, LogRecord, Origin, Sample
from steersman.telemetry import heard as hearing
from steersman.telemetry.asking import from_their_start
from steersman.telemetry.heard import MOST_KEPT, Heard
from steersman.telemetry.positions import Positions

UNIT = "steersman-shop.web.g3@1.service"
ORIGIN = Origin(host="h1", app="shop", process="web", instance="1", release=3, commit="c3")


def heard(*secrets: str) -> Heard:
    masks = Masks()
    masks.learn(secrets)
    return Heard("h1", masks, lambda app, number: f"c{number}")


def test_a_line_is_a_record_of_its_process_without_secrets() -> None:
    ear = heard("a-secret-of-ours")
    line = {"log": [UNIT, 7.0, "ERROR: a-secret-of-ours", 6]}
    (record,) = ear.signals([line])
    assert isinstance(record, LogRecord)
    assert (record.origin, record.level, record.time) == (ORIGIN, "error", 7.0)
    assert "a-secret-of-ours" not in record.text
    assert ear.apps_in([line]) == {"shop"}
    (count,) = ear.counts(8.0)
    assert (count.name, count.value) == ("steersman_log_lines_total", 1.0)


def test_an_exit_and_a_sample_have_their_origin() -> None:
    told = {"exit": {"unit": UNIT, "t": 7.0, "signal": "SIGSEGV", "core": True, "count": 2}}
    measured = {"sample": ["steersman_process_threads", 4, {"unit": UNIT}, "gauge"], "t": 7.0}
    exited, sample = heard().signals([told, measured])
    assert exited == Exited(time=7.0, origin=ORIGIN, signal="SIGSEGV", has_core=True, restarts=2)
    assert isinstance(sample, Sample)
    labels = {"app": "shop", "process": "web", "instance": "1", "release": "3", "host": "h1"}
    assert (sample.labels, sample.value) == (labels, 4.0)


def test_an_apps_own_metrics_hold_no_secret() -> None:
    ear = heard("a_secret_of_ours")
    labels = {"app": "shop", "a_secret_of_ours": "x", "plan": "is a_secret_of_ours"}
    measured = {"sample": ["by_a_secret_of_ours_total", 4, labels, "counter"], "t": 7.0}
    assert ear.apps_in([measured]) == {"shop"}
    (sample,) = ear.signals([measured])
    assert isinstance(sample, Sample)
    assert "a_secret_of_ours" not in f"{sample}"
    assert sample.name.isidentifier() and all(key.isidentifier() for key in sample.labels)
    assert (sample.labels["app"], sample.value) == ("shop", 4.0)


def test_what_json_escaped_is_masked_once_it_is_read() -> None:
    secret = "pa/ss & 'word' +1"
    said = json.dumps({"message": f"by {secret}", secret: 1, "token": secret, "in": [secret]})
    for escaped in ("/", "&", "'", "+", "w"):
        line = said.replace(escaped, f"\\u{ord(escaped):04X}")
        (record,) = heard(secret).signals([{"log": [UNIT, 7.0, line, 6]}])
        assert isinstance(record, LogRecord)
        assert record.text == f"by {MASK}"
        assert record.fields == {MASK: 1, "token": MASK, "in": f'["{MASK}"]'}


def test_a_metrics_name_that_was_made_of_a_secret_is_masked() -> None:
    # The ear wrote `_` for what is not allowed in names.
    labels = {"app": "shop", "a_secret__of_ours": "x"}
    measured = {"sample": ["by_a_secret__of_ours_total", 4, labels, "counter"], "t": 7.0}
    (sample,) = heard("a-secret/?of ours").signals([measured])
    assert isinstance(sample, Sample)
    assert sample.name == "by__secret__total"
    assert sample.labels == {"app": "shop", "_secret_": "x", "host": "h1"}


def test_a_secret_that_is_learned_later_is_in_no_metric_from_then_on() -> None:
    masks = Masks()
    ear = Heard("h1", masks, lambda app, number: "")
    measured = {"sample": ["spent", 4, {"app": "shop", "by": "a_secret_of_ours"}, "gauge"], "t": 7}
    (before,) = ear.signals([measured])
    masks.learn(["a_secret_of_ours"])
    (after,) = ear.signals([measured])
    assert "a_secret_of_ours" in f"{before}" and "a_secret_of_ours" not in f"{after}"


def test_names_that_a_host_makes_up_are_kept_in_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hearing, "MOST_SERIES", 100)
    ear = heard()
    for each in range(210):
        labels = {"n": str(each), "long": "x" * (3 * MOST_KEPT if each % 2 else 1)}
        (sample,) = ear.signals([{"sample": ["spent", each, labels, "gauge"], "t": 7.0}])
        assert isinstance(sample, Sample) and sample.labels["n"] == str(each)
    assert 0 < len(ear._series) <= 100
    assert all(len(str(labels)) < 2 * MOST_KEPT for _, labels in ear._series)


def test_a_host_cannot_speak_for_another() -> None:
    measured = {"sample": ["steersman_host_load1", 1, {"host": "h2"}, "gauge"], "t": 7.0}
    (sample,) = heard().signals([measured])
    assert isinstance(sample, Sample)
    assert sample.labels == {"host": "h1"}


JSON = st.recursive(
    st.none() | st.booleans() | st.floats() | st.text() | st.sampled_from(["log", "exit", "t"]),
    lambda inner: (
        st.lists(inner) | st.dictionaries(st.sampled_from(["log", "exit", "sample", "t"]), inner)
    ),
)


@given(st.lists(JSON))
def test_whatever_a_host_says_breaks_nothing(messages: list[Any]) -> None:
    ear = heard()
    ear.apps_in(messages)
    assert len(list(ear.signals(messages))) + ear.bad == len(messages)


def test_positions_outlive_whoever_wrote_them(tmp_path: Path) -> None:
    first = Positions(tmp_path / "at")
    first.write("h1", {"lines": "a long cursor " * 20})
    first.write("h1", {"lines": "short"})
    second = Positions(tmp_path / "at")
    assert second.read("h1") == {"lines": "short"}
    assert second.read("h2") == {}
    (tmp_path / "at/h3.json").write_bytes(b"\xff broken")
    assert second.read("h3") == {}
    first.close()
    second.close()


def test_a_position_that_stands_is_not_written_again(tmp_path: Path) -> None:
    positions = Positions(tmp_path / "at")
    positions.write("h1", {"lines": "here"})
    (tmp_path / "at/h1.json").write_text("untouched")
    positions.write("h1", {"lines": "here"})
    assert (tmp_path / "at/h1.json").read_text() == "untouched"
    positions.write("h1", {"lines": "further"})
    assert positions.read("h1") == {"lines": "further"}
    positions.close()


def test_the_access_log_of_an_app_that_came_is_read_from_its_start() -> None:
    def asked(*apps: str) -> dict[str, dict[str, Any]]:
        return {"lines": {}, "access": {"logs": {each: {} for each in apps}}}

    at = {"lines": {"cursor": "c"}, "access": {"shop": [7, 90], "gone": [8, 5]}}
    assert from_their_start(at, None, asked("shop", "desk")) == at
    found = from_their_start(at, asked("shop"), asked("shop", "desk"))
    assert found["lines"] == at["lines"]
    assert found["access"] == {"shop": [7, 90], "gone": [8, 5], "desk": (0, 0)}
