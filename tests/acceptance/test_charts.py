"""Charts on real hosts: installed, upgraded under load, taken back, and gone without a trace."""

import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import yaml

from acceptance.steer import EXAMPLES, PULSE, Repo, Steer
from acceptance.web import WebSocket, get, post, serves
from lab import seen
from lab.host import Host
from lab.lab import Lab
from load.background import Load

pytestmark = pytest.mark.lab

CHARTS = EXAMPLES.parents[1] / "charts"
SHOP, BOARD, PULSES = "shop.example.com", "board.example.com", "pulse.example.com"
SHARED = "srv/steersman/apps/shop/shared"
# The example has no database; here migrations and collectstatic have something to do.
SETTINGS = """
INSTALLED_APPS = ["django.contrib.contenttypes", "django.contrib.staticfiles"]
DATABASES = {
    "default": {"ENGINE": "django.db.backends.sqlite3", "NAME": os.environ.get("DATABASE", "")}
}
STATIC_ROOT = BASE_DIR / "collected"
"""
ROLLOUT = {"minReadySeconds": 0, "progressDeadlineSeconds": 60}


@dataclass
class Sea:
    """Three hosts, the person who installs charts on them, and the code of the charts' apps."""

    steer: Steer
    hosts: list[Host]
    before: list[seen.Snapshot]
    shop: Repo
    board: Repo
    pulse: Repo

    def chart(self, *args: str, expect: int = 0) -> str:
        return self.steer.run("chart", *args, expect=expect).said

    def values(self, name: str, **values: object) -> str:
        path = self.steer.folder / f"{name}.yaml"
        placement = {"hosts": [host.name for host in self.placed(name)]}
        path.write_text(yaml.safe_dump({"rollout": ROLLOUT, "placement": placement, **values}))
        return str(path)

    def placed(self, name: str) -> list[Host]:
        """Return where an app goes: a release on two hosts is enough to go wrong between them."""
        return self.hosts[:2] if name == "shop" else self.hosts[2:]

    def load(self, name: str) -> Load:
        urls = [f"http://{host.address}/" for host in self.placed(name)]
        return Load(urls, host=f"{name}.example.com", method="MIX", rate=100)

    def states(self, name: str) -> list[str]:
        return [line.split()[4] for line in self.chart("history", name).splitlines()[2:]]


@pytest.fixture(scope="module")
def sea(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Sea:
    steer, folder = new_steer(), tmp_path_factory.mktemp("repos")
    shop = Repo(folder / "shop", EXAMPLES / "django-shop/src")
    settings = (shop.path / "shop/settings.py").read_text()
    shop.commit(
        {
            "shop/settings.py": settings + SETTINGS,
            "worker.py": (PULSE / "worker.py").read_text(),
        }
    )
    board, pulse = Repo(folder / "board", EXAMPLES / "asgi-board/src"), Repo(folder / "p", PULSE)
    for repo in (shop, board):
        repo.tag("one")
        repo.release("2")
        repo.tag("two")
    shop.commit({"shop/wsgi.py": "raise RuntimeError('no captain')\n", "VERSION": "3\n"})
    shop.tag("broken")
    before = [seen.snapshot(host) for host in hosts.hosts]
    secrets = [
        yaml.safe_load((EXAMPLES / name / "secret.yaml").read_text())
        for name in ("django-shop", "asgi-board")
    ]
    steer.apply(*steer.hosts(), *secrets)
    return Sea(steer, hosts.hosts, before, shop, board, pulse)


def test_the_django_chart_migrates_collects_and_serves(sea: Sea) -> None:
    values = sea.values(
        "shop",
        source={"git": {"url": str(sea.shop.path), "ref": "one"}},
        hosts=[SHOP],
        secrets=["shop"],
        env={"DATABASE": f"/{SHARED}/db.sqlite3", "STATE_DIR": f"/{SHARED}"},
        web={"health": "/healthz"},
        static={"collect": True, "directory": "collected"},
        worker={"enabled": True, "command": "python worker.py", "stopTimeout": "5s"},
    )
    said = sea.chart("install", "shop", str(CHARTS / "django"), "-f", values)
    assert "STATUS: deployed" in said and f"http://{SHOP}/" in said
    wanted = (EXAMPLES / "django-shop/src/static/shop.css").read_bytes()
    for host in sea.placed("shop"):
        assert serves(host, SHOP, "1") and post(host, SHOP, "/orders", b"hats").status == 201
        file = get(host, SHOP, "/static/shop.css")
        assert (file.status, file.body, file.revision) == (200, wanted, "")
        assert seen.units(host)["steersman-shop.worker.g1@1.service"] == "active"
    databases = [host.root / SHARED / "db.sqlite3" for host in sea.placed("shop")]
    assert [tables(path) for path in databases if path.exists()] == [
        {"django_content_type", "django_migrations"}
    ]


def tables(database: Path) -> set[str]:
    link = sqlite3.connect(":memory:")
    link.deserialize(database.read_bytes())
    rows = link.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    link.close()
    return {name for (name,) in rows if not name.startswith("sqlite_")}


def test_an_upgrade_of_the_django_chart_loses_no_request(sea: Sea) -> None:
    upgrade = ["upgrade", "shop", str(CHARTS / "django"), "--reuse-values"]
    with sea.load("shop") as load:
        sea.chart(*upgrade, "--set", "source.git.ref=two,worker.enabled=false")
    assert load.report.failed == 0, load.report.examples
    assert set(load.report.revisions) == {"1", "2"}
    for host in sea.placed("shop"):
        assert serves(host, SHOP, "2")
        assert not [unit for unit in seen.units(host) if ".worker." in unit]


def test_an_atomic_upgrade_that_fails_is_taken_back_under_load(sea: Sea) -> None:
    upgrade = ["upgrade", "shop", str(CHARTS / "django"), "--reuse-values", "--atomic"]
    with sea.load("shop") as load:
        said = sea.chart(*upgrade, "--set", "source.git.ref=broken", expect=1)
    assert "no captain" in said and "revision 3 failed and was taken back" in said
    assert load.report.failed == 0, load.report.examples
    assert set(load.report.revisions) == {"2"}
    assert sea.states("shop") == ["superseded", "superseded", "failed", "deployed"]
    assert sea.steer.run("diff", "app/shop").code == 0


def test_a_rollback_brings_code_and_processes_back(sea: Sea) -> None:
    assert "DESCRIPTION: Rollback to 1" in sea.chart("rollback", "shop", "1")
    for host in sea.placed("shop"):
        assert serves(host, SHOP, "1")
        assert any(".worker." in unit for unit in seen.units(host))


def test_the_asgi_chart_installs_and_upgrades_without_a_loss(sea: Sea) -> None:
    values = sea.values(
        "board",
        source={"git": {"url": str(sea.board.path), "ref": "one"}},
        app="board:app",
        hosts=[BOARD],
        secrets=["board"],
        web={"health": "/healthz", "options": ["--no-access-log"]},
    )
    chart = str(CHARTS / "asgi")
    sea.chart("install", "board", chart, "-f", values)
    with WebSocket(sea.hosts[2], BOARD, "/echo") as socket:
        assert socket.ask("ahoy") == "1 ahoy"
    with sea.load("board") as load:
        said = sea.chart("upgrade", "board", chart, "-f", values, "--set", "source.git.ref=two")
    assert "REVISION: 2" in said
    assert load.report.failed == 0, load.report.examples
    assert set(load.report.revisions) == {"1", "2"}


def test_a_chart_that_was_only_created_installs(sea: Sea) -> None:
    folder = str(sea.steer.folder / "pulse")
    sea.chart("create", folder)
    sea.chart(
        "install", "pulse", folder, "--set", f"source.git.url={sea.pulse.path},hosts={{{PULSES}}}"
    )
    assert all(serves(host, PULSES, "1") for host in sea.hosts)


def test_uninstalling_leaves_what_was_there_before(sea: Sea) -> None:
    said = sea.chart("uninstall", "shop", "board", "pulse")
    assert said.count("uninstalled") == 3
    assert sea.steer.run("chart", "list", "--all").out.count("\n") == 1
    sea.steer.run("delete", "host/h1", "host/h2", "host/h3", "secret/shop", "secret/board")
    assert sea.steer.run("get", "all").out == ""
    for host, was in zip(sea.hosts, sea.before, strict=True):
        assert was.changes(seen.snapshot(host)) == []
