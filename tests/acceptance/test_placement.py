"""Replicas on two hosts behind a balancer: spread, cordoned, drained and brought back."""

from collections.abc import Callable
from dataclasses import dataclass

import pytest

from acceptance.steer import PULSE, Document, Repo, Steer, app, changes
from acceptance.web import serves
from lab import seen
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab
from load.background import Load

pytestmark = pytest.mark.lab

SITE = "spread.example.com"
# Only "there is no such site here" sends a request on: an answer that was cut off is a failure.
BALANCER = """\
upstream spread {{ {servers} }}
server {{
  listen 8080;
  location / {{
    proxy_pass http://spread;
    proxy_set_header Host {site};
    proxy_next_upstream http_404 non_idempotent;
  }}
}}
"""


@dataclass
class Pair:
    """Two hosts that run an app of four replicas, and a third that balances between them."""

    steer: Steer
    hosts: list[Host]
    balancer: Host
    repo: Repo
    before: list[seen.Snapshot]

    @property
    def manifests(self) -> list[Document]:
        return self.steer.hosts(*self.hosts)

    @property
    def app(self) -> Document:
        web = {"command": "gunicorn app:app", "port": "http", "replicas": 4}
        expression = {"key": "role", "operator": "In", "values": ["web", "api"]}
        return app(
            "spread",
            self.repo,
            processes={"web": web},
            placement={"matchExpressions": [expression]},
        )

    def instances(self, name: str = "spread") -> list[int]:
        """Return how many instances run on each of the hosts."""
        return [
            len([unit for unit in seen.units(host) if unit.startswith(f"steersman-{name}.web.g")
                 and "@" in unit])
            for host in self.hosts
        ]  # fmt: skip


@pytest.fixture(scope="module")
def pair(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Pair:
    *two, third = hosts.hosts
    servers = " ".join(f"server {host.address} max_fails=0;" for host in two)
    balancer = third.root / "etc/nginx/conf.d/test-balancer.conf"
    balancer.write_text(BALANCER.format(servers=servers, site=SITE))
    third.run(["systemctl", "reload", "nginx"])
    repo = Repo(tmp_path_factory.mktemp("repos") / "pulse", PULSE)
    made = Pair(new_steer(), two, third, repo, [seen.snapshot(host) for host in two])
    made.steer.apply(made.manifests[0], made.app)
    return made


def test_a_host_that_comes_takes_its_share(pair: Pair) -> None:
    assert pair.instances() == [4, 0]
    pair.steer.apply(*pair.manifests)
    assert pair.instances() == [2, 2]
    assert all(serves(host, SITE, "1") for host in pair.hosts)
    ran = pair.steer.apply(*pair.manifests, pair.app)
    assert "nothing to do" in ran.out, ran.said


def test_a_cordoned_host_keeps_what_it_runs_and_gets_nothing_new(pair: Pair) -> None:
    assert pair.steer.run("host", "cordon", "h1").out == "host/h1 cordoned\n"
    pair.repo.release("2")
    late = app("late", pair.repo)
    # The manifest of h1 does not say `cordoned`, and does not undo what was said since.
    pair.steer.apply(*pair.manifests, pair.app, late)
    assert pair.instances() == [2, 2]
    assert all(serves(host, SITE, "2") for host in pair.hosts), "it was not updated"
    assert pair.instances("late") == [0, 1]
    assert "Cordoned" in pair.steer.run("get", "host/h1").out
    pair.steer.run("scale", "app/spread", "web=6")
    assert pair.instances() == [2, 4]
    pair.steer.run("host", "uncordon", "h1")
    assert pair.instances("late") == [1, 1]
    assert pair.instances() == [3, 3]
    pair.steer.run("delete", "app/late")


def test_a_drain_loses_no_request(pair: Pair, say: Callable[[str], None]) -> None:
    url, all_of_them = f"http://{pair.balancer.address}:8080/", sum(pair.instances())
    with Load([url], method="MIX", rate=100, connections=8) as load:
        told = pair.steer.run("host", "drain", "h1")
        assert pair.instances() == [0, all_of_them]
        back = pair.steer.run("host", "uncordon", "h1")
        assert pair.instances() == [all_of_them // 2, all_of_them // 2]
        pair.steer.run("host", "drain", "h1")
    report = load.report
    say(f"drained twice and back: {report.sent} requests, {report.failed} lost")
    assert report.failed == 0, f"{report.failures}, {report.examples}"
    assert report.sent > 200, "so little is no load"
    assert "host/h1 drained" in told.out and "leaves h1; runs on h2" in told.said
    assert "host/h1 uncordoned" in back.out
    # Whoever applies the manifests again does not undo the drain.
    pair.steer.apply(*pair.manifests, pair.app)
    assert pair.instances() == [0, 4]
    assert changes(pair.before[0], pair.hosts[0]) == [
        "file /srv/steersman: absent -> drwxr-xr-x 0:0"
    ]


def test_a_drain_that_would_stop_an_app_is_refused(pair: Pair) -> None:
    refused = pair.steer.run("host", "drain", "h2", expect=1)
    assert "app spread has no other host that fits role in (api,web)" in refused.err
    assert "steer host drain h2 --force" in refused.err
    assert pair.instances() == [0, 4] and serves(pair.hosts[1], SITE, "2")
    pair.steer.run("host", "drain", "h2", "--force")
    assert pair.instances() == [0, 0]
    pair.steer.run("host", "uncordon", "h1")
    assert pair.instances() == [4, 0] and serves(pair.hosts[0], SITE, "2")


def test_a_drain_stops_nothing_while_nobody_can_take_over(pair: Pair) -> None:
    pair.steer.run("host", "uncordon", "h2")
    assert pair.instances() == [2, 2]
    pair.hosts[1].unplug()
    told = pair.steer.run("host", "drain", "h1", expect=1)
    pair.hosts[1].plug()
    assert "h2" in told.err and "drained" not in told.out, told.said
    assert pair.instances()[0] == 2 and serves(pair.hosts[0], SITE, "2")

    def answers() -> bool:
        return pair.steer.run("host", "check", "h2", expect=None).code == 0

    wait_until(answers, "the return of h2")
    pair.steer.run("host", "drain", "h1")
    assert pair.instances() == [0, 4]
    pair.steer.run("host", "uncordon", "h1")


def test_a_host_that_goes_leaves_its_replicas_to_the_others(pair: Pair) -> None:
    assert pair.instances() == [2, 2]
    pair.steer.run("delete", "host/h1")
    assert pair.instances() == [0, 4] and serves(pair.hosts[1], SITE, "2")
    pair.steer.run("delete", "app/spread", "host/h2")
    for host, before in zip(pair.hosts, pair.before, strict=True):
        assert changes(before, host) == []
