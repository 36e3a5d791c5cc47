"""StatsD of an app that only knows its environment, to the API, whoever is away meanwhile."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable
from typing import Any

import pytest

from acceptance.daemon import Daemon, serving
from acceptance.steer import Repo, Steer, app
from lab.host import Host
from lab.lab import Lab

pytestmark = pytest.mark.lab

WITHIN = 90.0
ORDERS, BEFORE = 80, 40
# statsd.defaults.env is the client's own way to be told by STATSD_HOST and STATSD_PORT.
TILL = f'''
"""A shop's till: counts {ORDERS} orders, one every 0.1 s, by two StatsD clients.

All but the first {BEFORE} are sold when nobody listens, which the file `away` says.
"""

import os
import signal
import threading
import time
from pathlib import Path

from datadog.dogstatsd import DogStatsd
from statsd.defaults.env import statsd

dog = DogStatsd(
    host=os.environ["STATSD_HOST"], port=int(os.environ["STATSD_PORT"]),
    constant_tags=["app:" + "evil"], disable_telemetry=True, disable_buffering=True,
)


def sell(numbers: range) -> None:
    for number in numbers:
        statsd.timing("order.time", 250)
        statsd.gauge("basket.level", number)
        statsd.set("customers", str(number % 7))
        dog.increment("orders.by.plan", tags=["plan:gold"])
        dog.histogram("basket.size", 3)
        # The last of an order: who sees all of these has been told the rest.
        statsd.incr("orders.placed")
        time.sleep(0.1)


def sell_all() -> None:
    shared = Path(os.environ["HOME"])
    sell(range({BEFORE}))
    while not (shared / "away").exists():
        time.sleep(0.05)
    sell(range({BEFORE}, {ORDERS}))
    (shared / "sold").touch()


threading.Thread(target=sell_all, daemon=True).start()
signal.sigwait([signal.SIGTERM])
'''

# A port that nobody holds yet refuses: what was not refused has been heard.
MIGRATE = """
import os, socket, time

with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
    out.connect((os.environ["STATSD_HOST"], int(os.environ["STATSD_PORT"])))
    refused = True
    while refused:
        out.send(b"tables.migrated:1|c")
        time.sleep(0.1)
        refused = out.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) != 0
"""


@pytest.fixture
def shop(steer: Steer, hosts: Lab, tmp_path: Any) -> dict[str, Any]:
    host = hosts.hosts[0]
    needs = "statsd==4.0.1\ndatadog==0.52.1\n"
    files = {"till.py": TILL, "migrate.py": MIGRATE, "requirements.txt": needs, "VERSION": "1\n"}
    repo = Repo(tmp_path / "shop", files)
    steer.apply(*steer.hosts(host))
    worker = {"till": {"command": "python till.py"}}
    once = {"command": "python migrate.py", "timeout": "1m"}
    soon = {"minReadySeconds": 0}
    return app("shop", repo, processes=worker, routes=[], rollout=soon, release=once)


def until(what: Callable[[], Any], why: Callable[[], object] = lambda: "not in time") -> Any:
    deadline = time.monotonic() + WITHIN
    while not (found := what()):
        assert time.monotonic() < deadline, why()
        time.sleep(0.1)
    return found


def ask(daemon: Daemon, path: str, **params: str) -> Any:
    socket = daemon.folder / "state/steersman/steer.sock"
    data = [word for each in params.items() for word in ("--data-urlencode", "=".join(each))]
    words = ["curl", "-sSG", "--unix-socket", str(socket), *data]
    done = subprocess.run(
        [*words, f"http://localhost/apis/steersman/v1/{path}"],
        capture_output=True, check=True, text=True, timeout=60,
    )  # fmt: skip
    return json.loads(done.stdout)


def latest(daemon: Daemon, name: str, **labels: str) -> dict[str, float]:
    """Return the newest values of a name by release."""
    found = ask(daemon, "samples", name=name, latest="1", app="shop", **labels)["latest"]
    return {each["labels"]["release"]: each["value"] for each in found}


def test_metrics_of_an_app_arrive_whoever_was_away(
    steer: Steer, hosts: Lab, shop: dict[str, Any], say: Callable[[str], None]
) -> None:
    host = hosts.hosts[0]
    with serving(steer) as daemon:
        steer.apply(shop)
        until(lambda: latest(daemon, "orders_placed_total"), daemon.said)
        began = time.time()
        daemon.kill()
    assert "steer-ear" in host.run(["systemctl", "list-units", "--plain", "steer-ear.service"])
    # The shop sells on with nobody there; a person's steer in between changes nothing about that.
    steer.run("diff", "app/shop", expect=None)
    shared = host.root / "srv/steersman/apps/shop/shared"
    (shared / "away").touch()
    until((shared / "sold").exists)
    with serving(steer) as daemon:
        until(
            lambda: latest(daemon, "orders_placed_total") == {"1": ORDERS},
            lambda: (latest(daemon, "orders_placed_total"), daemon.said()),
        )
        back = time.time()
        check_series(daemon, host)
        gap = points(daemon, "orders_placed_total", began, back)
        assert len(gap) >= 1, "what was sold while nobody listened has its own times"
        lost = ORDERS - latest(daemon, "orders_placed_total")["1"]
        say(f"StatsD: {lost:.0f} of {ORDERS} orders lost, with no daemon for half of them")
        check_top(steer)
        shop["spec"]["processes"]["till"]["env"] = {"LANE": "2"}
        steer.apply(shop)
        until(lambda: latest(daemon, "orders_placed_total").get("2"), daemon.said)
    assert port(host, 1) != port(host, 2)


def check_series(daemon: Daemon, host: Host) -> None:
    of = {"app": "shop", "process": "till", "release": "1", "host": host.name}
    (orders,) = ask(daemon, "samples", name="orders_placed_total", app="shop", step="60")["series"]
    assert orders["labels"] == of
    # A step's share of a count is a float, wherever the bounds of the steps happened to fall.
    assert sum(value for _, value in orders["points"]) == pytest.approx(ORDERS)
    (plan,) = ask(daemon, "samples", name="orders_by_plan_total", latest="1")["latest"]
    assert (plan["labels"], plan["value"]) == ({**of, "plan": "gold", "tag_app": "evil"}, ORDERS)
    (tables,) = ask(daemon, "samples", name="tables_migrated_total", latest="1")["latest"]
    assert (tables["labels"], tables["value"]) == ({**of, "process": "once"}, 1)
    assert latest(daemon, "basket_level") == {"1": ORDERS - 1}
    assert latest(daemon, "order_time_seconds_count") == {"1": ORDERS}
    assert latest(daemon, "basket_size_sum") == {"1": 3 * ORDERS}
    (median, *_) = ask(
        daemon, "samples", name="order_time_seconds", match="quantile=0.5", how="max"
    )["series"]
    assert max(value for _, value in median["points"]) == pytest.approx(0.25, rel=0.03)
    for what in ("malformed", "overflow", "dropped"):
        assert latest(daemon, f"steersman_statsd_{what}_total") == {"1": 0}, what


def points(daemon: Daemon, name: str, start: float, end: float) -> list[Any]:
    found = ask(daemon, "samples", name=name, start=str(start), end=str(end), step="10")
    return [point for series in found["series"] for point in series["points"] if point[1] > 0]


def check_top(steer: Steer) -> None:
    """See the app where people look, as far as anything of its processes was measured."""
    shown = until(
        lambda: (ran := steer.run("top", "processes", "shop")).out.count("\n") > 1 and ran
    )
    titles, row = (line.split() for line in shown.out.splitlines())
    own = dict(zip(titles, row, strict=False))
    assert (own["PROCESS"], own["INSTANCE"], own["HOST"]) == ("till", "1", "h1"), shown.said
    assert own["MEMORY(bytes)"].endswith("Mi") and own["MEMORY(bytes)"] != "0Mi", shown.said
    hosts = steer.run("top", "hosts").out
    print(shown.out, hosts, steer.run("top", "apps").out)
    assert hosts.splitlines()[1].startswith("h1 "), hosts


def port(host: Host, release: int) -> str:
    text = host.run(["cat", f"/srv/steersman/apps/shop/env/{release}.till"])
    return text.partition('STATSD_PORT="')[2].partition('"')[0]
