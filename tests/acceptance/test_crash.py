"""`steer apply` is killed after each single step; applying again ends as if it had not been."""

import re
import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from acceptance.steer import PULSE, Document, Repo, Steer, app, scrub
from acceptance.web import serves
from lab import seen
from lab.host import Host
from lab.lab import Lab
from load.background import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

# What differs between two releases, in names and in what files hold.
_RELEASE = re.compile(r"\d+-[0-9a-f]{12}\b|[0-9a-f]{64}\b|\bg\d+\b|(?<=/env/)\d+")
_FENCE = ("/srv/steersman/epoch", "/srv/steersman/lock")
# The caches of uv and Python remember more than one release.
_CACHES = re.compile(r"/srv/steersman/cache(/.*)?|.*\.pyc")


@dataclass
class Pier:
    """One host with one app of two processes, deployed by a `steer` of its own."""

    steer: Steer
    host: Host
    repo: Repo
    document: Document
    version: int = 1

    @property
    def site(self) -> str:
        return "pulse.example.com"

    def release(self) -> None:
        self.version += 1
        self.repo.release(str(self.version))

    def apply(self, killed_after: int | None = None) -> int:
        """Return the exit code of an apply: -9 when it was killed."""
        env = {} if killed_after is None else {"STEER_FAILPOINT": f"after:{killed_after}"}
        documents = [*self.steer.hosts(self.host), self.document]
        ran = self.steer.apply(*documents, expect=None, **env)
        assert ran.code in (0, -signal.SIGKILL), ran.said
        return ran.code

    def end_state(self) -> Counter[str]:
        """Return what is on the host, whichever release it is."""
        told = seen.snapshot(self.host)
        lines = [
            f"{path} {_mode(what)}"
            for path, what in told.files.items()
            if path not in _FENCE and not _CACHES.fullmatch(path)
        ]
        lines += [f"{unit} {state}" for unit, state in told.units.items()]
        lines += [f"process {command}" for command in told.orphans]
        return Counter(_RELEASE.sub("#", line) for line in [*lines, *told.users])

    def prove(self, wanted: Counter[str], killed_after: int) -> None:
        """Fail unless the host is as wanted and nothing is left to do."""
        where = f"killed after step {killed_after}"
        assert serves(self.host, self.site, str(self.version)), where
        found = self.end_state()
        assert found == wanted, f"{where}: more {found - wanted}, less {wanted - found}"
        left = self.steer.run("diff", "app/pulse", expect=None)
        assert left.code == 0, f"{where}: {left.said}"


def _mode(told: str) -> str:
    """Return a file's mode, owner and target; what it holds may name a release."""
    words = told.split(" ")
    return " ".join(words if "->" in words else words[:2])


@pytest.fixture
def piers(new_steer: Callable[[], Steer], hosts: Lab, tmp_path: Path) -> list[Pier]:
    """Return a pier on each host, with nothing deployed yet."""
    made = []
    for host in hosts.hosts:
        repo = Repo(tmp_path / host.name, PULSE)
        web = {"command": "gunicorn app:app", "port": "http", "health": {"http": "/"}}
        processes = {"web": web, "worker": {"command": "python worker.py"}}
        rollout = {"minReadySeconds": 1}
        document = app("pulse", repo, processes=processes, rollout=rollout, history=1)
        made.append(Pier(new_steer(), host, repo, document))
    return made


def test_a_killed_update_is_finished_by_the_next_apply(piers: list[Pier]) -> None:
    def sail(pier: Pier, first: int) -> int:
        """Update for each third k, killed after step k; return the number of steps there are."""
        assert pier.apply() == 0
        pier.release()
        assert pier.apply() == 0
        wanted = pier.end_state()
        with Load([f"http://{pier.host.address}/"], host=pier.site, method="MIX", rate=90) as load:
            for k in count(first, len(piers)):
                pier.release()
                if pier.apply(killed_after=k) == 0:
                    break
                assert pier.apply() == 0
                pier.prove(wanted, k)
        assert load.report.failed == 0, load.report.examples
        assert len(load.report.revisions) > 5
        pier.prove(wanted, k)
        return k - 1

    with ThreadPoolExecutor(len(piers)) as pool:
        steps = list(pool.map(sail, piers, range(1, len(piers) + 1)))
    assert min(steps) >= 20, f"only {steps} steps: the failpoints do not reach all of a rollout"


def test_a_killed_first_deploy_is_finished_by_the_next_apply(piers: list[Pier]) -> None:
    for pier in piers:
        scrub(pier.host)

    def launch(pier: Pier, k: int) -> None:
        assert pier.apply(killed_after=k) != 0
        assert pier.apply() == 0
        survived = pier.end_state()
        pier.steer.run("delete", "app/pulse")
        assert pier.apply() == 0
        # The undisturbed one, from the same empty host.
        pier.prove(survived, k)

    with ThreadPoolExecutor(len(piers)) as pool:
        list(pool.map(launch, piers, (4, 6, 18)))
