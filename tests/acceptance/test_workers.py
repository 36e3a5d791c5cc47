"""Celery behind real brokers of Debian's: deploys lose no task and run none twice.

Redis is part of the lab's image. RabbitMQ is installed into a host by `make test-chaos` alone: it
brings all of Erlang.
"""

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from acceptance.recipe import Recipe
from acceptance.steer import EXAMPLES, Repo, Steer, example
from acceptance.web import post
from lab.commands import wait_until
from lab.host import Host
from lab.lab import Lab
from lab.packages import install

pytestmark = [pytest.mark.lab, pytest.mark.timeout(900)]

REDIS = ["redis-server", "--port", "6399", "--save", "", "--dir", "/tmp"]
IS_EXTENDED = "STEERSMAN_CHAOS" in os.environ


def start_redis(host: Host) -> str:
    host.run(["systemd-run", "--quiet", "--unit=test-broker", "--collect", *REDIS])
    return "redis://127.0.0.1:6399/0"


def start_rabbit(host: Host) -> str:
    install(host, ["rabbitmq-server"])
    host.run(["systemctl", "start", "rabbitmq-server"])
    host.run(["rabbitmqctl", "await_startup"])
    return "amqp://guest:guest@127.0.0.1:5672//"


def stop(host: Host) -> None:
    for unit in ("test-broker", "rabbitmq-server"):
        host.run(["sh", "-c", f"! systemctl is-active {unit} || systemctl stop {unit}"])


@pytest.fixture(
    params=[
        pytest.param(start_redis, id="redis"),
        pytest.param(
            start_rabbit,
            id="rabbitmq",
            marks=pytest.mark.skipif(not IS_EXTENDED, reason="RabbitMQ: `make test-chaos` only"),
        ),
    ]
)
def desk(
    request: pytest.FixtureRequest, steer: Steer, hosts: Lab, tmp_path: Path
) -> Iterator[Recipe]:
    """Return the example with Celery, and a broker with nothing in it beside it."""
    host = hosts.hosts[0]
    document, _ = example("celery-desk", Repo(tmp_path / "desk", EXAMPLES / "celery-desk/src"))
    spec = document["spec"]
    spec["placement"], spec["rollout"] = {"hosts": [host.name]}, {"minReadySeconds": 0}
    state = "/srv/steersman/apps/desk/shared"
    spec["config"]["env"] |= {"BROKER": request.param(host), "STATE_DIR": state}
    steer.apply(*steer.hosts(host), document)
    yield Recipe("desk", host, steer, document)
    steer.run("delete", "app/desk")
    stop(host)


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
    asked = [*report.acknowledged, *(f"long-{n}" for n in range(1, releases + 1))]
    assert report.failed == 0, f"{report.failures}, {report.examples}"
    assert len(report.acknowledged) > 100, "too few tasks prove nothing"

    def times(what: str) -> Counter[str]:
        return Counter(note.split()[1] for note in desk.read("notes") if note.startswith(what))

    # By name: a task whose answer the load did not wait for ends too.
    wait_until(lambda: times("end").keys() >= {*asked}, "the end of every task")
    started, ended = times("start"), times("end")
    times_each = {order: (started[order], ended[order]) for order in asked}
    # Celery gives back what it has fetched and not acknowledged as TERM comes, also when a child
    # has just begun it: that one is run again, to its end. See controller/docs/recipes.md.
    twice = [order for order, each in times_each.items() if each == (2, 2)]
    assert len(twice) <= 1, f"more than a race explains ran twice: {twice}"
    wrong = {o: each for o, each in times_each.items() if each != (1, 1) and o not in twice}
    told = [note for note in desk.read("notes") if any(order in note for order in wrong)]
    assert wrong == {}, f"tasks were lost or run twice: {told}"
    assert any(note.startswith("tidy ") for note in desk.read("notes")), "beat never ticked"
    broker = request.node.callspec.id
    done = f"{len(asked)} tasks through {broker}"
    say(f"celery: {releases} deploys, {done}, 0 lost, {len(twice)} run twice")
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
