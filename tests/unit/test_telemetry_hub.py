"""The hub gives every signal to everybody, whatever one of them does."""

import pytest
from structlog.testing import capture_logs

from steersman.api.signals import Happening, LogRecord, Origin, Sample, Signal
from steersman.telemetry.hub import Hub

SEEN = Sample(time=1.0, name="steersman_host_load1", value=0.5)


def test_a_sink_that_fails_takes_a_signal_from_no_other() -> None:
    hub, got = Hub(), list[Signal]()

    def failing(_: Signal) -> None:
        raise ValueError("no room")

    with hub.joined(failing), hub.joined(got.append), capture_logs() as logs:
        hub.publish(SEEN)
    assert got == [SEEN]
    assert [entry["event"] for entry in logs] == ["sink_failed"]


def test_who_joins_for_a_kind_hears_of_no_other() -> None:
    hub, lines, all_ = Hub(), list[Signal](), list[Signal]()
    line = LogRecord(time=1.0, origin=Origin(), text="hello")
    with hub.joined(all_.append):
        hub.publish(line)
        with hub.joined(lines.append, LogRecord, Happening):
            for signal in (SEEN, line):
                hub.publish(signal)
        hub.publish(line)
    assert (lines, all_) == ([line], [line, SEEN, line, line])


def test_who_left_hears_nothing_more() -> None:
    hub, got = Hub(), list[Signal]()
    with hub.joined(got.append):
        pass
    hub.publish(SEEN)
    assert not got


def test_a_signal_cannot_be_changed_by_whoever_gets_it() -> None:
    with pytest.raises(AttributeError):
        Origin().host = "h1"  # type: ignore[misc]
