"""What people read while hosts are worked on, and what remains of it at the end."""

from dataclasses import dataclass

import pytest

from steersman.api.errors import SteersmanError
from steersman.cli.outcomes import NotAsWanted, conclude
from steersman.cli.progress import Lines, _Table
from steersman.control.outcome import HostOutcome, Outcome
from steersman.planning.steps import ReloadUnits, RemoveFile

STEP = RemoveFile("no longer wanted", "/etc/nginx/conf.d/old.conf")


@dataclass
class Told:
    """A reporter at a clock that stands still, and all that it said."""

    out: list[str]
    err: list[str]
    now: float = 0.0

    def lines(self, *, is_verbose: bool = False, kind: type[Lines] = Lines) -> Lines:
        return kind(self.out.append, self.err.append, is_verbose=is_verbose, clock=lambda: self.now)


@pytest.fixture
def told() -> Told:
    return Told([], [])


def test_a_host_is_one_line_with_its_steps_and_time(told: Told) -> None:
    lines = told.lines()
    lines.step_began("h1", "shop", STEP, 1, 2)
    lines.step_ended("h1", "shop", STEP, 0.5)
    told.now = 3.25
    lines.step_began("h1", "shop", ReloadUnits("files changed"), 2, 2)
    lines.step_ended("h1", "shop", ReloadUnits("files changed"), 0.5)
    lines.host_ended("h1", "shop", "converged", "")
    lines.host_ended("h2", "shop", "unchanged", "")
    assert told.out == ["h1: shop converged, 2 steps in 3.2s", "h2: shop unchanged"]


def test_verbose_says_each_step_and_why(told: Told) -> None:
    lines = told.lines(is_verbose=True)
    lines.step_began("h1", "shop", STEP, 1, 1)
    lines.step_ended("h1", "shop", STEP, 0.5)
    assert told.out == [
        "h1: shop: remove /etc/nginx/conf.d/old.conf (no longer wanted) 0.50s",
    ]


def test_why_a_host_failed_is_said_once_and_tamed(told: Told) -> None:
    lines = told.lines()
    told.now = 15.0
    for app in ("shop", "blog"):
        lines.host_ended("h2", app, "unreachable", "host h2: \x1b[2Jsilent")
    assert told.out == [
        "h2: shop unreachable after 15.0s",
        "h2: blog unreachable after 15.0s",
    ]
    assert told.err == ["error: host h2: \\x1b[2Jsilent"]


def test_a_fall_back_is_not_called_a_success(told: Told) -> None:
    lines = told.lines()
    lines.host_ended("h1", "shop", "rejected", "it crashed")
    lines.step_began("h1", "shop", STEP, 1, 1)
    lines.step_ended("h1", "shop", STEP, 0.5)
    lines.host_ended("h1", "shop", "converged", "")
    assert told.out[1] == "h1: shop back on what served before, 1 step in 0.0s"
    assert told.err == []


def test_a_build_says_what_it_is_about_and_keeps_the_rest_for_verbose(told: Told) -> None:
    said = ["release 3: 1a2b3c fix", "building 1a2b3c for linux", "wheel 1 of 40", "wheel 2 of 40"]
    quiet = told.lines()
    for text in said:
        quiet.said("shop", text)
    assert told.out == [f"shop: {text}" for text in said[:2]]
    told.out.clear()
    verbose = told.lines(is_verbose=True)
    for text in said:
        verbose.said("shop", text)
    assert len(told.out) == 4


def test_the_table_holds_what_goes_on_and_only_that(told: Told) -> None:
    table = told.lines(kind=_Table)
    assert isinstance(table, _Table)
    for number in range(40):
        table.step_began(f"h{number}", "shop", STEP, 1, 2)
    assert table.table().row_count == 13, "twelve of them, and how many more there are"
    for number in range(40):
        table.host_ended(f"h{number}", "shop", "converged", "")
    assert table.table().row_count == 0


def test_the_end_names_hosts_whose_reason_was_said(told: Told) -> None:
    lines = told.lines()
    lost = SteersmanError("host h2: it was silent")
    lines.host_ended("h2", "shop", "unreachable", str(lost))
    outcome = Outcome(
        "shop", None, (HostOutcome("h1", "unchanged"), HostOutcome("h2", "unreachable", (), lost))
    )
    with pytest.raises(ExceptionGroup) as raised:
        conclude([outcome], lines)
    (error,) = raised.value.exceptions
    assert isinstance(error, NotAsWanted)
    assert "shop is not as wanted on h2;" in str(error)


def test_the_end_says_reasons_that_nobody_heard(told: Told) -> None:
    unhealthy = SteersmanError("shop on h1: exits; its last lines:\n  Traceback")
    outcome = Outcome("shop", None, (HostOutcome("h1", "rejected", (), unhealthy),))
    with pytest.raises(ExceptionGroup) as raised:
        conclude([outcome], told.lines())
    assert raised.value.exceptions == (unhealthy,)


def test_the_end_of_a_good_run_is_a_line(told: Told, capsys: pytest.CaptureFixture[str]) -> None:
    hosts = tuple(HostOutcome(name, "unchanged") for name in ("h1", "h2"))
    conclude([Outcome("shop", None, hosts)], told.lines())
    assert capsys.readouterr().out == "app/shop: on 2 hosts, nothing to do (0.0s)\n"
