"""Each recipe of controller/docs/recipes.md on a real host, under load, with what it promises."""

import json
import re
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

from acceptance.steer import EXAMPLES, Document, Ran, Repo, Steer, app, example
from acceptance.web import WebSocket, get, post, serves
from lab import seen
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab
from load.background import Load

pytestmark = [pytest.mark.lab, pytest.mark.timeout(300)]

CREW = Path(__file__).parent / "crew"
SERVERS = {
    "gunicorn": "gunicorn wsgi --workers 2",
    "gthread": "gunicorn wsgi --threads 4",
    "uwsgi": "uwsgi --module wsgi --processes 2",
    "uvicorn": "uvicorn asgi:application --no-access-log",
    "uvicorn-workers": "uvicorn asgi:application --no-access-log --workers 2",
    "hypercorn": "hypercorn asgi:application",
    "waitress": "waitress-serve wsgi:application",
}
VERSIONS = {"one": "1", "two": "2"}
CAP = 3.0
RATE = 240


@dataclass
class Recipe:
    """One app of the shared host; changing its document changes nothing until `apply`."""

    name: str
    host: Host
    steer: Steer
    document: Document

    @property
    def site(self) -> str:
        return f"{self.name}.example.com"

    @property
    def web(self) -> Document:
        web: Document = self.document["spec"]["processes"]["web"]
        return web

    @property
    def env(self) -> Document:
        env: Document = self.document["spec"]["config"]["env"]
        return env

    @property
    def shown(self) -> str:
        """Return the revision that the app will answer with, as its document is now."""
        tag = self.document["spec"]["source"]["git"]["ref"]
        return f"{VERSIONS[tag]}{self.env['MARK']}"

    @property
    def release(self) -> int:
        shown = json.loads(self.steer.run("get", f"app/{self.name}", "-o", "json").out)
        return int(shown["status"]["release"])

    def main_pid(self, unit: str) -> str:
        return self.host.run(["systemctl", "show", "--property=MainPID", "--value", unit]).strip()

    def take(self, tag: str) -> None:
        self.document["spec"]["source"]["git"]["ref"] = tag

    def apply(self) -> Ran:
        return self.steer.apply(self.document)

    @contextmanager
    def applying(self) -> Iterator[None]:
        """Apply; the block runs once the new generation serves, and the deploy ends after it."""
        with ThreadPoolExecutor() as pool:
            ran = pool.submit(self.apply)
            wait_until(lambda: serves(self.host, self.site, self.shown), "the switch")
            yield
            ran.result()

    def read(self, book: str) -> list[str]:
        """Return the lines that the app wrote down."""
        path = self.host.root / f"srv/steersman/apps/{self.name}/shared/{book}"
        return path.read_text().splitlines() if path.exists() else []

    def load(self, rate: float) -> Load:
        url = f"http://{self.host.address}/"
        return Load([url], host=self.site, method="MIX", rate=rate)


Crew = Callable[..., Recipe]


@pytest.fixture(scope="module")
def crew(
    new_steer: Callable[[], Steer], hosts: Lab, tmp_path_factory: pytest.TempPathFactory
) -> Crew:
    """Return what deploys an app, once, to one host; all are from one repository."""
    steer, host = new_steer(), hosts.hosts[0]
    repo = Repo(tmp_path_factory.mktemp("repos") / "crew", CREW)
    repo.tag("one")
    repo.release("2")
    repo.tag("two")
    steer.apply(*steer.hosts(host))

    @cache
    def deployed(name: str, command: str) -> Recipe:
        web = {"command": command, "port": "http", "stop": {"timeout": f"{CAP:g}s"}}
        shared = f"/srv/steersman/apps/{name}/shared"
        document = app(
            name,
            repo,
            build={"python": "3.11"},
            config={"env": {"MARK": "a", "STATE_DIR": shared}},
            processes={"web": web},
            placement={"hosts": [host.name]},
            rollout={"minReadySeconds": 0},
            history=1,
        )
        recipe = Recipe(name, host, steer, document)
        recipe.take("one")
        recipe.apply()
        return recipe

    return deployed


@pytest.mark.parametrize("name", SERVERS)
def test_no_deploy_of_code_or_configuration_loses_a_request(
    crew: Crew, name: str, say: Callable[[str], None]
) -> None:
    recipe = crew(name, SERVERS[name])
    nginx = seen.nginx_processes(recipe.host)
    with recipe.load(RATE) as load:
        recipe.take("two")
        recipe.apply()
        recipe.env["MARK"], recipe.web["limits"] = "b", {"memory": "512M"}
        recipe.apply()
        recipe.take("one")
        recipe.apply()
    report = load.report
    say(
        f"{name}: 3 deploys, {report.sent} requests at {report.rate:.0f}/s,"
        f" {report.failed} lost, p99 {report.p99 * 1000:.0f} ms,"
        f" longest gap {report.longest_gap * 1000:.0f} ms"
    )
    assert report.failed == 0, f"{report.failures}, {report.examples}"
    assert report.rate >= 100, f"only {report.rate:.0f} requests/s: this proves nothing"
    assert set(report.revisions) == {"1a", "2a", "2b", "1b"}
    assert report.closed_by_server == 0, "an idle connection was closed: nginx reloaded"
    assert seen.nginx_processes(recipe.host) == nginx
    orders = Counter(recipe.read("orders"))
    wrong = [ident for ident in report.acknowledged if orders[ident] != 1]
    assert wrong == [] and len(report.acknowledged) > 300, "orders were lost or taken twice"
    unit = f"steersman-{name}.web.g{recipe.release}@1.service"
    assert recipe.host.run(["systemctl", "show", "-P", "MemoryMax", unit]).strip() == "512000000"


@pytest.mark.parametrize(
    "command", ["gunicorn wsgi", "waitress-serve --listen=127.0.0.1:$PORT wsgi:application"]
)
def test_configuration_that_the_app_refuses_never_serves(
    crew: Crew, command: str, say: Callable[[str], None]
) -> None:
    recipe = crew(f"refuses-{command.partition(' ')[0]}", command)
    with recipe.load(RATE) as load:
        del recipe.env["MARK"]
        ran = recipe.steer.apply(recipe.document, expect=1)
    say(f"{command}: 1 rejected deploy, {load.report.sent} requests, {load.report.failed} lost")
    assert "rejected" in ran.err and "KeyError: 'MARK'" in ran.err, ran.said
    assert load.report.failed == 0, f"{load.report.failures}, {load.report.examples}"
    assert set(load.report.revisions) == {"1a"}


@pytest.mark.parametrize("name", [name for name in SERVERS if name != "waitress"])
def test_term_lets_a_request_under_way_end(crew: Crew, name: str) -> None:
    recipe = crew(name, SERVERS[name])
    unit = f"steersman-{name}.web.g{recipe.release}@1.service"
    main = recipe.main_pid(unit)
    begun = len(recipe.read("slow"))
    with ThreadPoolExecutor() as pool:
        asked = pool.submit(get, recipe.host, recipe.site, "/slow")
        wait_until(lambda: len(recipe.read("slow")) > begun, "the slow request")
        recipe.host.run(["systemctl", "kill", "--signal=TERM", "--kill-who=main", unit])
        answer = asked.result()
    assert (answer.status, answer.body) == (200, b"ahoy\n")
    wait_until(lambda: recipe.main_pid(unit) not in {main, "0"}, "the end of the old process")


@pytest.mark.parametrize(("name", "code"), [("uvicorn", 1012), ("hypercorn", 1011)])
def test_a_websocket_lives_on_behind_a_switch_until_its_own_end_or_the_cap(
    crew: Crew, name: str, code: int
) -> None:
    recipe = crew(name, SERVERS[name])
    was = recipe.shown
    with WebSocket(recipe.host, recipe.site, "/") as old:
        assert old.ask("ahoy") == f"{was} ahoy"
        recipe.env["MARK"] = "c"
        with recipe.applying():
            switched = time.monotonic()
            assert old.ask("still here") == f"{was} still here"
            with WebSocket(recipe.host, recipe.site, "/") as new:
                assert new.ask("ahoy") == f"{recipe.shown} ahoy"
                assert old.wait_for_close(30) == code
                assert time.monotonic() - switched > CAP * 0.7
                assert new.ask("still here") == f"{recipe.shown} still here"
    was = recipe.shown
    # Long beyond what this test may take: only the connection's own end can end the deploy.
    recipe.env["MARK"], recipe.web["stop"] = "d", {"timeout": "10m"}
    with WebSocket(recipe.host, recipe.site, "/") as old, recipe.applying():
        assert old.ask("still here") == f"{was} still here"
        old.close()


@pytest.fixture
def desk(steer: Steer, hosts: Lab, tmp_path: Path) -> Iterator[Recipe]:
    """Return the example with Celery, and Debian's Redis with nothing in it beside it."""
    host = hosts.hosts[0]
    document, _ = example("celery-desk", Repo(tmp_path / "desk", EXAMPLES / "celery-desk/src"))
    spec = document["spec"]
    spec["placement"], spec["rollout"] = {"hosts": [host.name]}, {"minReadySeconds": 0}
    state = "/srv/steersman/apps/desk/shared"
    spec["config"]["env"] |= {"BROKER": "redis://127.0.0.1:6399/0", "STATE_DIR": state}
    redis = ["redis-server", "--port", "6399", "--save", "", "--dir", "/tmp"]
    host.run(["systemd-run", "--quiet", "--unit=test-broker", "--collect", *redis])
    steer.apply(*steer.hosts(host), document)
    yield Recipe("desk", host, steer, document)
    steer.run("delete", "app/desk")
    host.run(["systemctl", "stop", "test-broker"])


def test_celery_runs_each_task_once_across_deploys(
    desk: Recipe, say: Callable[[str], None]
) -> None:
    with desk.load(40) as load:
        for release in (1, 2, 3):
            desk.env["GREETING"] = f"after {release}"
            straddle(desk, release)
    report = load.report
    asked = [*report.acknowledged, "long-1", "long-2", "long-3"]
    assert report.failed == 0, f"{report.failures}, {report.examples}"
    assert len(report.acknowledged) > 100, "too few tasks prove nothing"

    def times(what: str) -> Counter[str]:
        return Counter(note.split()[1] for note in desk.read("notes") if note.startswith(what))

    # By name: a task whose answer the load did not wait for ends too.
    wait_until(lambda: times("end").keys() >= {*asked}, "the end of every task", 30)
    started, ended = times("start"), times("end")
    times_each = {order: (started[order], ended[order]) for order in asked}
    wrong = {order: each for order, each in times_each.items() if each != (1, 1)}
    told = [note for note in desk.read("notes") if any(order in note for order in wrong)]
    assert wrong == {}, f"tasks were lost or run twice: {told}"
    assert any(note.startswith("tidy ") for note in desk.read("notes")), "beat never ticked"
    say(f"celery: 3 deploys, {len(asked)} tasks through Redis, each run once")
    log = desk.steer.run("logs", "app/desk", "-p", "worker", "--tail=-1").out
    assert "ready." in log and "DuplicateNodename" not in log


def straddle(desk: Recipe, release: int) -> None:
    """Deploy while a task of seconds runs: the old worker ends it, among those of the new one."""
    order = f"long-{release}"
    assert post(desk.host, desk.site, "/orders?seconds=5", order.encode()).status == 201
    start, end = f"start {order} {release}", f"end {order} {release}"
    wait_until(lambda: start in desk.read("notes"), "the start of the long task")
    desk.apply()
    notes = desk.read("notes")
    assert end in notes, "the deploy ended before the task of the old worker"
    during = notes[notes.index(start) : notes.index(end)]
    assert any(re.fullmatch(rf"end \S+ {release + 1}", note) for note in during)


def test_a_process_deaf_to_term_is_killed_with_its_children(crew: Crew) -> None:
    recipe = crew("stubborn", "python stubborn.py")
    started = [line.split() for line in recipe.read("pids")]
    assert [mark for _, mark in started] == ["1a", "1a"]
    recipe.take("two")
    before = time.monotonic()
    recipe.apply()
    assert time.monotonic() - before > CAP, "it was not given the time that it may take"
    assert serves(recipe.host, recipe.site, "2a")
    # TERM went to the main process alone; what that left behind went with the cgroup.
    assert recipe.read("told") == ["main 1a"]
    running = set(recipe.host.run(["ps", "-e", "-o", "pid="]).split())
    assert running.isdisjoint(pid for pid, _ in started)
