"""A saved plan refuses the host that moved, and a lost state is put together again from hosts."""

import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from acceptance.steer import PULSE, SECRETS, Document, Repo, Steer, app
from acceptance.web import get
from lab import seen
from lab.host import Host
from lab.lab import Lab
from load.background import Load

pytestmark = pytest.mark.lab

SITE = "quay.example.com"


@dataclass
class Quay:
    """One app with a secret on three hosts."""

    steer: Steer
    hosts: list[Host]
    repo: Repo

    @property
    def documents(self) -> list[Document]:
        data = {"TOKEN": {"fromEnv": "BOARD_TOKEN"}}
        secret = {
            "apiVersion": "steersman/v1",
            "kind": "Secret",
            "metadata": {"name": "quay"},
            "spec": {"data": data},
        }
        made: Any = app("quay", self.repo, config={"secrets": ["quay"]})
        return [*self.steer.hosts(), secret, made]

    @property
    def serving(self) -> list[str]:
        return [get(host, SITE).revision for host in self.hosts]

    def load(self) -> Load:
        urls = [f"http://{host.address}/" for host in self.hosts]
        return Load(urls, host=SITE, method="MIX", rate=60, connections=6)


@pytest.fixture(scope="module")
def quay(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Quay:
    repo = Repo(tmp_path_factory.mktemp("repos") / "quay", PULSE)
    made = Quay(new_steer(), hosts.hosts, repo)
    repo.release("1")
    made.steer.apply(*made.documents)
    assert made.serving == ["1"] * 3
    return made


def test_a_plan_refuses_the_host_that_moved_and_no_other(quay: Quay, tmp_path: Path) -> None:
    quay.repo.release("2")
    file = quay.steer.write("quay.yaml", *quay.documents)
    plan = str(tmp_path / "plan.json")
    shown = quay.steer.run("diff", "-f", file, "--save", plan, expect=1)
    assert shown.out.count("make release 2") == 3, shown.said
    assert SECRETS["BOARD_TOKEN"] not in Path(plan).read_text()
    assert quay.serving == ["1"] * 3

    # Meanwhile: the branch goes on, and somebody edits a unit on one host.
    quay.repo.release("3")
    unit = quay.hosts[1].root / "etc/systemd/system/steersman-quay.web.g1@.service"
    unit.write_text(unit.read_text() + "# edited by hand\n")
    before = seen.snapshot(quay.hosts[1])

    # Another machine has the state and the plan, and has built nothing yet.
    with quay.load() as load:
        elsewhere = {"XDG_CACHE_HOME": str(tmp_path / "cache")}
        ran = quay.steer.run("apply", "--plan", plan, expect=1, env=elsewhere)
    assert "host h2: it has changed since the plan was made" in ran.err, ran.said
    assert not re.search(r"h[13]\b.*since the plan", ran.err), ran.said
    assert quay.serving == ["2", "1", "2"]
    assert before.changes(seen.snapshot(quay.hosts[1])) == []
    assert load.report.failed == 0, load.report.examples

    again = quay.steer.run("apply", "--plan", plan, expect=1)
    assert again.err.count("since the plan was made") == 3, again.said
    quay.steer.run("apply", "-f", file)
    assert quay.serving == ["3"] * 3


def test_a_lost_state_is_adopted_and_the_same_manifests_change_nothing(quay: Quay) -> None:
    steer = quay.steer
    history = steer.run("rollout", "history", "app/quay").out.splitlines()
    (steer.folder / "state").rename(steer.folder / "lost")
    before = [seen.snapshot(host) for host in quay.hosts]
    hosts = steer.write("hosts.yaml", *steer.hosts())
    with quay.load() as load:
        adopted = steer.run("adopt", "-f", hosts)
        assert re.search(r"app/quay adopted: 3 releases, on h1, h2, h3", adopted.out)
        refused = steer.run("rollout", "restart", "app/quay", expect=1)
        assert "apply its manifest first" in refused.err
        applied = steer.apply(*quay.documents)
        assert "nothing to do" in applied.out, applied.said
        assert steer.run("diff", "app/quay").code == 0
    assert load.report.failed == 0, load.report.examples
    for host, was in zip(quay.hosts, before, strict=True):
        assert was.changes(seen.snapshot(host)) == []

    assert (
        steer.run("rollout", "history", "app/quay").out.splitlines()[-1].split()[:2]
        == (history[-1].split()[:2])
    )
    number = int(history[-1].split()[0])
    quay.repo.release("4")
    assert f"release {number + 1} on 3 hosts" in steer.apply(*quay.documents).out
    assert quay.serving == ["4"] * 3
    steer.run("rollout", "undo", "app/quay")
    assert quay.serving == ["3"] * 3
