"""An app's life on three hosts: deployed, changed, scaled, taken back, healed and removed."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from acceptance.steer import EXAMPLES, PULSE, SECRETS, Document, Repo, Steer, changes, example
from acceptance.web import WebSocket, get, post, serves
from lab import seen
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab

pytestmark = pytest.mark.lab

SHOP, BOARD, PLAIN = "shop.example.com", "board.example.com", "plain.example.com"
FOLDERS = {SHOP: "django-shop", BOARD: "asgi-board", PLAIN: "port-plain"}


@dataclass
class Fleet:
    """Three apps on three hosts, what they are made of, and the hosts as they were before."""

    steer: Steer
    hosts: list[Host]
    before: list[seen.Snapshot]
    repos: dict[str, Repo]
    apps: dict[str, Document]
    others: list[Document]

    @property
    def documents(self) -> list[Document]:
        return [*self.others, *self.apps.values()]

    def serves(self, site: str, revision: str) -> bool:
        return all(serves(host, site, revision) for host in self.hosts)

    def running(self, host: Host, app: str) -> dict[str, str]:
        """Return the instances of the app's processes that the host runs."""
        prefix = f"steersman-{app}."
        return {
            name: state
            for name, state in seen.units(host).items()
            if name.startswith(prefix) and "@" in name and "-relay@" not in name
        }


@pytest.fixture(scope="module")
def fleet(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Fleet:
    steer, folder = new_steer(), tmp_path_factory.mktemp("repos")
    repos = {site: Repo(folder / name, EXAMPLES / name / "src") for site, name in FOLDERS.items()}
    repos[SHOP].commit({"worker.py": (PULSE / "worker.py").read_text()})
    found = {site: example(name, repos[site]) for site, name in FOLDERS.items()}
    apps = {site: app for site, (app, _) in found.items()}
    apps[SHOP]["spec"]["processes"]["worker"] = {"command": "python worker.py"}
    others = [*steer.hosts(), *(secret for _, secrets in found.values() for secret in secrets)]
    before = [seen.snapshot(host) for host in hosts.hosts]
    made = Fleet(steer, hosts.hosts, before, repos, apps, others)
    steer.apply(*made.documents)
    return made


def test_one_apply_deploys_every_app_to_every_host(fleet: Fleet) -> None:
    for host in fleet.hosts:
        for site in FOLDERS:
            home = get(host, site)
            assert (home.status, home.revision) == (200, "1"), home
            told = fleet.apps[site]["spec"]["config"]["env"]["GREETING"]
            assert home.json["greeting"] == told
            sent = post(host, site, "/orders", b"two hats")
            assert (sent.status, sent.body) == (201, b"two hats")


def test_static_files_come_from_the_release(fleet: Fleet) -> None:
    wanted = (EXAMPLES / "django-shop/src/static/shop.css").read_bytes()
    for host in fleet.hosts:
        file = get(host, SHOP, "/static/shop.css")
        assert (file.status, file.body) == (200, wanted)
        assert file.revision == "", "the app answered, not the proxy"


def test_a_websocket_passes_through_the_proxy(fleet: Fleet) -> None:
    for host in fleet.hosts:
        with WebSocket(host, BOARD, "/echo") as socket:
            assert socket.status == 101
            assert [socket.ask(text) for text in ("ahoy", "again")] == ["1 ahoy", "1 again"]


def test_secrets_arrive_and_show_nowhere_else(fleet: Fleet) -> None:
    token, key = SECRETS["BOARD_TOKEN"], SECRETS["SHOP_SECRET_KEY"]
    for host in fleet.hosts:
        assert get(host, BOARD, "/admin").status == 401
        assert get(host, BOARD, "/admin", Authorization=f"Bearer {token}").status == 200
    logs = fleet.steer.run("logs", "app/shop", "-p", "worker")
    assert logs.out.count(f"secret={hashlib.sha256(key.encode()).hexdigest()}") == 3, logs.said
    shown = [
        fleet.steer.run("get", "all", "-o", "yaml").out,
        fleet.steer.run("describe", "app/shop").out,
    ]
    for text in shown:
        assert key not in text and token not in text
    for host in fleet.hosts:
        readable = host.run(
            ["find", "/srv/steersman", "/etc/systemd", "-perm", "-o=r", "-type", "f"]
        )
        for path in readable.split():
            if "/store/" not in path and "/venvs/" not in path and "/cache/" not in path:
                data = (host.root / path[1:]).read_bytes()
                assert key.encode() not in data and token.encode() not in data, path


def test_applying_again_makes_no_step(fleet: Fleet) -> None:
    before = [seen.snapshot(host) for host in fleet.hosts]
    ran = fleet.steer.apply(*fleet.documents)
    lines = ran.out.splitlines()
    assert [line for line in lines if "configured" in line or "step" in line] == []
    assert sum(line.endswith("unchanged") for line in lines) == len(fleet.documents) + 9, ran.said
    assert fleet.steer.run("diff", "app/shop", "app/board", "app/plain").code == 0
    for host, was in zip(fleet.hosts, before, strict=True):
        assert was.changes(seen.snapshot(host)) == []


def test_a_new_commit_is_a_new_revision_and_no_reload(fleet: Fleet) -> None:
    nginx = [seen.nginx_processes(host) for host in fleet.hosts]
    fleet.repos[BOARD].release("2")
    fleet.repos[PLAIN].release("2")
    ran = fleet.steer.apply(*fleet.documents)
    assert ran.out.count(": shop unchanged") == 3, ran.said
    assert fleet.serves(BOARD, "2") and fleet.serves(PLAIN, "2") and fleet.serves(SHOP, "1")
    assert [seen.nginx_processes(host) for host in fleet.hosts] == nginx
    for host in fleet.hosts:
        assert set(fleet.running(host, "board")) == {
            f"steersman-board.web.g2@{n}.service" for n in (1, 2)
        }


def test_changed_config_is_a_new_release_of_the_same_build(fleet: Fleet) -> None:
    builds = [sorted((h.root / "srv/steersman/apps/plain/builds").iterdir()) for h in fleet.hosts]
    fleet.apps[PLAIN]["spec"]["config"]["env"]["GREETING"] = 'grüße "$HOME" %i'
    ran = fleet.steer.apply(*fleet.documents)
    assert "building" not in ran.out
    assert history(fleet.steer, "plain") == ["superseded", "superseded", "deployed"]
    for host, had in zip(fleet.hosts, builds, strict=True):
        assert get(host, PLAIN).json["greeting"] == 'grüße "$HOME" %i'
        assert sorted((host.root / "srv/steersman/apps/plain/builds").iterdir()) == had


def test_undo_goes_back_and_apply_goes_forward(fleet: Fleet) -> None:
    releases = len(history(fleet.steer, "plain"))
    ran = fleet.steer.run("rollout", "undo", "app/plain", "--to-revision=1")
    assert "building" not in ran.out and "app/plain rolled back" in ran.out
    assert fleet.serves(PLAIN, "1")
    assert history(fleet.steer, "plain") == ["superseded"] * releases + ["deployed"]
    # Applying something else leaves it where it was put.
    fleet.steer.apply(*fleet.others)
    assert fleet.serves(PLAIN, "1")
    fleet.steer.apply(fleet.apps[PLAIN])
    assert fleet.serves(PLAIN, "2")
    assert fleet.steer.run("rollout", "status", "app/plain").code == 0


def history(steer: Steer, app: str) -> list[str]:
    """Return the states of the app's releases, oldest first."""
    rows = steer.run("rollout", "history", f"app/{app}").out.splitlines()[2:]
    return [row.split()[1] for row in rows]


def test_scaling_adds_and_removes_instances_and_nothing_else(fleet: Fleet) -> None:
    nginx = [seen.nginx_processes(host) for host in fleet.hosts]
    first = [pids(host, "board") for host in fleet.hosts]
    releases = history(fleet.steer, "board")
    for count in (4, 1, 2):
        fleet.steer.run("scale", "app/board", f"web={count}")
        for host in fleet.hosts:
            assert list(fleet.running(host, "board").values()) == ["active"] * count
            assert get(host, BOARD).status == 200
    assert history(fleet.steer, "board") == releases
    for host, had in zip(fleet.hosts, first, strict=True):
        assert pids(host, "board") & had, "scaling restarted what ran"
    assert [seen.nginx_processes(host) for host in fleet.hosts] == nginx


def pids(host: Host, app: str) -> set[str]:
    """Return the pids, as the host counts them, of the app's processes."""
    rows = (line.split() for line in host.run(["ps", "-e", "-o", "user:32=,pid="]).splitlines())
    return {pid for user, pid in rows if user == f"app-{app}"}


def test_a_killed_process_comes_back(fleet: Fleet) -> None:
    host = fleet.hosts[0]
    had, units = pids(host, "board"), fleet.running(host, "board")
    host.run(["systemctl", "kill", "--signal=KILL", *units])

    def is_back() -> bool:
        return len(pids(host, "board") - had) >= 2 and fleet.running(host, "board") == units

    wait_until(is_back, "the restart of the killed processes")
    wait_until(lambda: serves(host, BOARD, "2"), "the answer after the restart")
    assert fleet.steer.run("diff", "app/board").code == 0


TAMPERED = (
    ["ln", "-sfn", "nowhere.sock", "/run/steersman/board/web.sock"],
    ["rm", "/run/steersman/board/serving"],
    ["tee", "/etc/systemd/system/steersman-board.web.g2@.service"],
    ["rm", "/etc/systemd/system/steersman-board.target"],
    ["rm", "/etc/nginx/conf.d/steersman-board.conf"],
    ["chmod", "0644", "/srv/steersman/apps/board/env/2"],
    ["ln", "-sfn", "releases/none", "/srv/steersman/apps/board/current"],
    ["systemctl", "stop", "steersman-board.web.g2@1.service"],
)


def test_what_was_tampered_with_is_shown_and_healed(fleet: Fleet) -> None:
    host = fleet.hosts[1]
    good = seen.snapshot(host)
    for tamper in TAMPERED:
        host.run(tamper, stdin="")
    shown = fleet.steer.run("diff", "app/board", expect=1)
    for tamper in TAMPERED:
        assert tamper[-1] in shown.out, shown.said
    assert "app/board on h1: nothing to do" in shown.out
    fleet.steer.apply(fleet.apps[BOARD])
    wait_until(lambda: serves(host, BOARD, "2"), "the healed app's answer")
    assert changes(good, host) == []


def test_what_leaves_the_manifest_leaves_the_hosts(fleet: Fleet) -> None:
    spec = fleet.apps[SHOP]["spec"]
    del spec["processes"]["worker"]
    spec["routes"] = [route for route in spec["routes"] if "process" in route]
    fleet.apps[PLAIN]["spec"]["placement"] = {"hosts": ["h1"]}
    fleet.steer.apply(fleet.apps[SHOP], fleet.apps[PLAIN])
    for host in fleet.hosts:
        assert set(fleet.running(host, "shop")) == {"steersman-shop.web.g2@1.service"}
        assert get(host, SHOP, "/static/shop.css").status == 404
    assert serves(fleet.hosts[0], PLAIN, "2")
    for host in fleet.hosts[1:]:
        snapshot = seen.snapshot(host)
        assert [path for path in snapshot.files if "plain" in path and "/store/" not in path] == []
        assert [unit for unit in snapshot.units if "plain" in unit] == []
        assert not any(line.startswith("app-plain:") for line in snapshot.users)
        assert get(host, PLAIN).revision == "", "another site's answer, or none"
    shown = json.loads(fleet.steer.run("get", "app", "plain", "-o", "json").out)
    assert shown["status"]["hosts"] == ["h1"]


def test_deleting_everything_leaves_no_trace(fleet: Fleet) -> None:
    folder = fleet.hosts[0].root / "var/log/nginx"

    def logged() -> list[Path]:
        # By name: the hosts had other tests' apps before.
        apps = ("shop", "board", "plain")
        return [path for app in apps for path in folder.glob(f"steersman-{app}.*")]

    assert logged() != []
    fleet.steer.run("delete", "app/shop", "app/board", "app/plain")
    fleet.steer.run("delete", "host/h1", "host/h2", "host/h3", "secret/shop", "secret/board")
    for host, was in zip(fleet.hosts, fleet.before, strict=True):
        assert was.changes(seen.snapshot(host)) == []
    # An app of the same name would count these answers as its own.
    assert logged() == []
    assert fleet.steer.run("get", "all").out == ""
