"""Each recipe of controller/docs/recipes.md on a real host, under load, with what it promises."""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from functools import cache
from pathlib import Path

import pytest

from acceptance.recipe import Recipe
from acceptance.steer import Repo, Steer, app
from acceptance.web import WebSocket, get, serves
from lab import seen
from lab.commands import wait_until
from lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(600)]

CREW = Path(__file__).parent / "crew"
SERVERS = {
    "gunicorn": "gunicorn wsgi --workers 2",
    "gthread": "gunicorn wsgi --threads 4",
    "uwsgi": "uwsgi --module wsgi --processes 2",
    "uvicorn": "uvicorn asgi:application --no-access-log",
    "uvicorn-workers": "uvicorn asgi:application --no-access-log --workers 2",
    "hypercorn": "hypercorn asgi:application",
    "waitress": "waitress-serve wsgi:application",
    "daphne": "daphne asgi:application",
    "granian": "granian --interface asgi asgi:application",
}
# What TERM ends at once; a deploy lets their connections end first.
ABRUPT = {"waitress", "daphne", "granian"}
CAP = 3.0
RATE = 240


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
    limit = recipe.host.run(["systemctl", "show", "-P", "MemoryMax", recipe.instance])
    assert limit.strip() == "512000000"


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


@pytest.mark.parametrize("name", [name for name in SERVERS if name not in ABRUPT])
def test_term_lets_a_request_under_way_end(crew: Crew, name: str) -> None:
    recipe = crew(name, SERVERS[name])
    unit = recipe.instance
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
            switched = recipe.switched_at
            assert old.ask("still here") == f"{was} still here"
            with WebSocket(recipe.host, recipe.site, "/") as new:
                assert new.ask("ahoy") == f"{recipe.shown} ahoy"
                assert old.wait_for_close(30) == code
                assert time.time() - switched > CAP * 0.7
                assert new.ask("still here") == f"{recipe.shown} still here"
    was = recipe.shown
    # Long beyond what this test may take: only the connection's own end can end the deploy.
    recipe.env["MARK"], recipe.web["stop"] = "d", {"timeout": "10m"}
    with WebSocket(recipe.host, recipe.site, "/") as old, recipe.applying():
        assert old.ask("still here") == f"{was} still here"
        old.close()


def test_several_generations_drain_at_once_and_none_for_ever(
    crew: Crew, say: Callable[[str], None]
) -> None:
    recipe = crew("drains", SERVERS["uvicorn"])
    # The second switch must come before the first generation is cut off, on any machine.
    recipe.web["stop"] = {"timeout": "20s"}
    recipe.apply()
    sockets, marks = [], []
    with ExitStack() as stack:
        for mark in "bc":
            marks.append(recipe.shown)
            sockets.append(stack.enter_context(WebSocket(recipe.host, recipe.site, "/")))
            assert sockets[-1].ask("ahoy") == f"{marks[-1]} ahoy"
            recipe.env["MARK"] = mark
            file = recipe.steer.write(f"{mark}.yaml", recipe.document)
            # The second takes over from the first, which still waits for its old generation.
            stack.enter_context(recipe.steer.started("apply", "-f", file))
            wait_until(lambda: serves(recipe.host, recipe.site, recipe.shown), "the switch")
        wait_until(lambda: recipe.states() == ["draining", "draining", "serving"], "two that drain")
        for socket, mark in zip(sockets, marks, strict=True):
            assert socket.ask("still here") == f"{mark} still here"
        with recipe.load(50) as load:
            assert [socket.wait_for_close(60) for socket in sockets] == [1012, 1012]
    say(f"2 old generations drained at once; {load.report.sent} requests meanwhile")
    assert load.report.failed == 0 and set(load.report.revisions) == {recipe.shown}
    wait_until(lambda: recipe.states() == ["serving"], "the end of what drained")


def test_a_process_deaf_to_term_is_killed_with_its_children(crew: Crew) -> None:
    recipe = crew("stubborn", "python stubborn.py")
    wait_until(lambda: len(recipe.read("pids")) == 2, "the child's pid")
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
