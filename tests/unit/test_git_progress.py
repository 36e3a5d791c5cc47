"""What a pusher is told while his push waits, by a clock of the test's."""

from __future__ import annotations

import pytest

from steersman.planning.steps import PassGate, Soak, Step
from steersman.server.git.progress import MOST_LINES, Remote

GATE = PassGate("a release", ({"process": "web"},), 30.0, 1.0, 5.0)


class Terminal:
    """What one pusher sees, at `now`."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[str] = []
        self.remote = Remote(self.lines.append, lambda: self.now)

    def began(self, host: str, step: Step, number: int = 1) -> None:
        self.remote.step_began(host, "shop", step, number, 9)

    def after(self, seconds: float) -> str:
        """Return what a reminder says so many seconds later."""
        self.now += seconds
        self.remote.remind()
        return self.lines[-1]


@pytest.fixture
def terminal() -> Terminal:
    return Terminal()


def test_a_rollout_says_how_far_it_is_and_what_is_waited_for(terminal: Terminal) -> None:
    terminal.remote.hosts = 3
    terminal.began("h1", GATE)
    terminal.remote.step_ended("h1", "shop", GATE, 1.0)
    terminal.remote.host_ended("h1", "shop", "converged", "")
    terminal.began("h2", GATE)
    text = "rolling out: 1/3 hosts, h2: wait until web is healthy on its private socket"
    assert terminal.after(12) == f"{text} (12 s)"
    terminal.began("h3", GATE)
    assert terminal.after(10) == f"{text.replace('h2:', 'h2 and 1 more:')} (22 s)"
    terminal.began("h2", Soak("a release", (), 5.0, 3), 2)
    assert terminal.after(1).startswith("rolling out: 1/3 hosts, h3 and 1 more: ")


def test_between_steps_the_last_thing_that_was_done_is_said(terminal: Terminal) -> None:
    assert terminal.after(10) == "the push is looked at (10 s)"
    terminal.remote.said("shop", "building 0123 for \x1b[31mcp311")
    assert terminal.after(11) == "still at: shop: building 0123 for \\x1b[31mcp311 (11 s)"
    terminal.began("h1", GATE)
    terminal.remote.host_ended("h1", "shop", "failed", "no room")
    assert terminal.after(9).startswith("still at: shop: building")


def test_every_line_begins_the_silence_anew(terminal: Terminal) -> None:
    terminal.now += 8
    assert terminal.remote.silence == 8
    terminal.remote.line("a line")
    assert terminal.remote.silence == 0
    terminal.now += 3
    terminal.after(0)
    assert terminal.remote.silence == 0


def test_reminders_go_on_when_no_more_lines_are_shown(terminal: Terminal) -> None:
    terminal.remote.line("\n" * MOST_LINES)
    terminal.remote.said("shop", "the last thing")
    assert "the last thing" not in terminal.lines[-1]
    assert terminal.after(10) == "still at: shop: the last thing (10 s)"
