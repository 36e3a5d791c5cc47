"""The real hosts that acceptance tests deploy to, and what deploys to them."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acceptance.pier import Pier
from acceptance.steer import PULSE, Repo, Steer, scrub
from lab.fixtures import lab, make_lab, own_kernel
from lab.lab import Lab

__all__ = ["lab", "make_lab", "own_kernel"]

_SAID = "said"


@pytest.fixture
def say(request: pytest.FixtureRequest) -> Callable[[str], None]:
    """Return what shows a measured figure at the end of the run, whichever worker measured it."""
    return lambda line: request.node.user_properties.append((_SAID, line))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for report in terminalreporter.getreports("passed"):
        for name, line in report.user_properties if report.when == "call" else ():
            if name == _SAID:
                terminalreporter.write_line(str(line))


@pytest.fixture(scope="session")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where builds are kept: each wheel is made once for all tests."""
    return tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="module")
def hosts(lab: Lab) -> Iterator[Lab]:
    """The lab, which has nothing deployed before and after a module's tests."""
    yield lab
    for host in lab.hosts:
        scrub(host)


@pytest.fixture(scope="module")
def new_steer(
    hosts: Lab, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[], Steer]:
    """Return a maker of people with a `steer` each, who know nothing of each other."""
    return lambda: Steer(tmp_path_factory.mktemp("steer"), cache, hosts)


@pytest.fixture
def steer(new_steer: Callable[[], Steer]) -> Steer:
    return new_steer()


@pytest.fixture(scope="module")
def pier(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Pier:
    """Return one app, deployed to every host."""
    repo = Repo(tmp_path_factory.mktemp("repos") / "pier", PULSE)
    made = Pier(new_steer(), hosts.hosts, repo)
    made.release()
    return made
