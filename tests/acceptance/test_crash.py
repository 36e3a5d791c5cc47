"""`steer apply` is killed after each single step; applying again ends as if it had not been."""

import signal
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import pytest

from acceptance.endstate import end_state
from acceptance.steer import PULSE, Document, Repo, Steer, app, scrub
from acceptance.web import serves
from lab.host import Host
from lab.lab import Lab
from load.background import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]


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

    def prove(self, wanted: Counter[str], killed_after: int) -> None:
        """Fail unless the host is as wanted and nothing is left to do."""
        where = f"killed after step {killed_after}"
        assert serves(self.host, self.site, str(self.version)), where
        found = end_state(self.host)
        assert found == wanted, f"{where}: more {found - wanted}, less {wanted - found}"
        left = self.steer.run("diff", "app/pulse", expect=None)
        assert left.code == 0, f"{where}: {left.said}"


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
        wanted = end_state(pier.host)
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
        survived = end_state(pier.host)
        pier.steer.run("delete", "app/pulse")
        assert pier.apply() == 0
        # The undisturbed one, from the same empty host.
        pier.prove(survived, k)

    with ThreadPoolExecutor(len(piers)) as pool:
        list(pool.map(launch, piers, (4, 6, 18)))
