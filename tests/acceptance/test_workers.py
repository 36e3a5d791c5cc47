"""Celery behind real brokers of Debian's: deploys lose no task and run none twice.

Redis is part of the lab's image. RabbitMQ is installed into a host by `make test-chaos` alone: it
brings all of Erlang.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from acceptance.brokers import Broker, Queue, RabbitMQ, Redis
from acceptance.recipe import Recipe
from acceptance.steer import EXAMPLES, Repo, Steer, example
from acceptance.web import post
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

IS_EXTENDED = "STEERSMAN_CHAOS" in os.environ


@pytest.fixture(
    scope="module",
    params=[
        pytest.param(Redis, id="redis"),
        pytest.param(
            RabbitMQ,
            id="rabbitmq",
            marks=pytest.mark.skipif(not IS_EXTENDED, reason="RabbitMQ: `make test-chaos` only"),
        ),
    ],
)
def broker(request: pytest.FixtureRequest, hosts: Lab) -> Broker:
    made: Broker = request.param(hosts.hosts[0])
    return made


@pytest.fixture(scope="module")
def desk(
    broker: Broker,
    new_steer: Callable[[], Steer],
    hosts: Lab,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Recipe]:
    """Return the example with Celery, and a broker with nothing in it beside it."""
    host, steer = hosts.hosts[0], new_steer()
    repo = Repo(tmp_path_factory.mktemp("repos") / "desk", EXAMPLES / "celery-desk/src")
    document, _ = example("celery-desk", repo)
    spec = document["spec"]
    spec["placement"], spec["rollout"] = {"hosts": [host.name]}, {"minReadySeconds": 0}
    state = "/srv/steersman/apps/desk/shared"
    spec["config"]["env"] |= {"BROKER": broker.start(), "STATE_DIR": state}
    steer.apply(*steer.hosts(host), document)
    yield Recipe("desk", host, steer, document)
    steer.run("delete", "app/desk")
    broker.stop()


def test_celery_loses_no_task_across_deploys(
    desk: Recipe, request: pytest.FixtureRequest, say: Callable[[str], None]
) -> None:
    releases, straddled, seconds = 0, 0, 5
    with desk.load(40) as load:
        while straddled < 3:
            releases += 1
            desk.env["GREETING"] = f"after {releases}"
            if straddle(desk, releases, seconds):
                straddled += 1
            else:
                # The new worker came too late to be seen beside it: a busy machine.
                seconds *= 2
                assert seconds <= 80, "the new worker never ran beside the old one"
    report = load.report
    # By name: a task whose answer the load did not wait for ends too.
    asked = {*report.acknowledged, *(f"long-{n}" for n in range(1, releases + 1))}
    assert report.failed == 0, f"{report.failures}, {report.examples}"
    assert len(report.acknowledged) > 100, "too few tasks prove nothing"
    run_once(desk, asked)
    assert any(note.startswith("tidy ") for note in desk.read("notes")), "beat never ticked"
    done = f"{len(asked)} tasks through {request.node.callspec.id}"
    say(f"celery: {releases} deploys, {done}, each run once")
    log = desk.steer.run("logs", "app/desk", "-p", "worker", "--tail=-1").out
    assert "ready." in log and "DuplicateNodename" not in log


def straddle(desk: Recipe, release: int, seconds: int) -> bool:
    """Deploy while a task runs: the old worker ends it; whether those of the new one came between.

    `release` is the one that runs before.
    """
    order = f"long-{release}"
    path = f"/orders?seconds={seconds}"
    assert post(desk.host, desk.site, path, order.encode()).status == 201
    start, end = f"start {order} {release}", f"end {order} {release}"
    wait_until(lambda: start in desk.read("notes"), "the start of the long task")
    desk.apply()
    notes = desk.read("notes")
    assert end in notes, "the deploy ended before the task of the old worker"
    during = notes[notes.index(start) : notes.index(end)]
    return any(re.fullmatch(rf"end \S+ {release + 1}", note) for note in during)


def test_a_task_that_a_child_begins_as_its_worker_is_stopped_runs_once(
    desk: Recipe, broker: Broker
) -> None:
    """Celery alone gives such tasks back, and they run again: here always, for a child is late."""
    stem = f"steersman-desk.{{}}.g{desk.release}@1.service"
    beat, worker = stem.format("beat"), stem.format("worker")
    desk.host.run(["systemctl", "stop", beat])
    wait_until(lambda: broker.queue() == Queue(0, 0, 1), "the end of what was asked before")
    orders = {f"late-{n}" for n in range(4)}
    with late(desk.host, desk.main_pid(worker)):
        for order in orders:
            assert post(desk.host, desk.site, "/orders", order.encode()).status == 201
        wait_until(lambda: broker.queue() == Queue(0, len(orders), 1), "all tasks at the worker")
        desk.host.run(["systemctl", "restart", "--no-block", worker])
        wait_until(lambda: broker.queue().askers == 0, "the worker's answer to TERM")
        assert not times(desk, "start").keys() & orders, "a child that was stopped began one"
    run_once(desk, orders)
    wait_until(lambda: broker.queue() == Queue(0, 0, 1), "the end of what was given back")
    run_once(desk, orders)


@contextmanager
def late(host: Host, worker: str) -> Iterator[None]:
    """Hold a worker's children up, whatever the worker writes to them."""
    children = host.run(["cat", f"/proc/{worker}/task/{worker}/children"]).split()
    assert len(children) == 2, "not the two children of --concurrency 2"
    signal = ["sh", "-c", 'kill -"$@"', "kill"]
    host.run([*signal, "STOP", *children])
    try:
        yield
    finally:
        host.run([*signal, "CONT", *children])


def run_once(desk: Recipe, orders: set[str]) -> None:
    """Wait until each of `orders` has ended: none may have begun twice."""
    wait_until(lambda: times(desk, "end").keys() >= orders, "the end of every task")
    started, ended = times(desk, "start"), times(desk, "end")
    wrong = {order for order in orders if (started[order], ended[order]) != (1, 1)}
    told = [note for note in desk.read("notes") if wrong & {*note.split()}]
    assert not wrong, f"tasks were run twice: {told}"


def times(desk: Recipe, what: str) -> Counter[str]:
    """Return how often each order did `what`: start, or end."""
    return Counter(note.split()[1] for note in desk.read("notes") if note.startswith(f"{what} "))
