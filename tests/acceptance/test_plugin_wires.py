"""Metrics arrive in a real statsd, carbon, Prometheus and Munin, in their own stores."""

import os
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from acceptance.wires import (
    MUNIN_UPDATE,
    WITHIN,
    Carbon,
    MuninMaster,
    PrometheusServer,
    StatsdServer,
    listening,
    needs,
    running,
    until,
)
from steersman.api.plugging import Plugin
from steersman.api.signals import Sample
from steersman_plugins.graphite import Graphite
from steersman_plugins.munin import Munin
from steersman_plugins.prometheus import Prometheus
from steersman_plugins.statsd import Statsd
from transport_lab import free_port

TOKEN = "s3cret"


def gauge(name: str, value: float, **labels: str) -> Sample:
    return Sample(time=time.time(), name=name, value=value, labels=labels)


def counter(name: str, value: float, **labels: str) -> Sample:
    return Sample(time=time.time(), name=name, value=value, labels=labels, kind="counter")


@asynccontextmanager
async def started(plugin: Plugin) -> AsyncIterator[Plugin]:
    await plugin.start()
    try:
        yield plugin
    finally:
        await plugin.close()


@pytest.fixture
async def statsd(tmp_path: Path) -> AsyncIterator[StatsdServer]:
    server = StatsdServer(tmp_path)
    with running(server.words(), server.log) as process:
        await listening(server.management, process, server.log)
        yield server


@pytest.fixture
async def carbon(tmp_path: Path) -> AsyncIterator[Carbon]:
    server = Carbon(tmp_path)
    with running(server.words(), server.log) as process:
        await listening(server.pickle_port, process, server.log)
        yield server


@pytest.mark.parametrize("tags", ["datadog", "none"])
async def test_statsd_counts_what_we_count(statsd: StatsdServer, tags: str) -> None:
    config = Statsd.Config.model_validate(
        {"address": f"127.0.0.1:{statsd.port}", "tags": tags, "prefix": "prod"}
    )
    async with started(Statsd("s", config)) as plugin:
        await plugin.ship([counter("log_lines_total", 10, app="shop"), gauge("debt", 7)])
        await plugin.ship([counter("log_lines_total", 13, app="shop"), gauge("debt", -5)])
        await plugin.ship([counter("log_lines_total", 14, app="shop")])
        await plugin.ship([gauge("a\nb:1|c", 2, **{"k|#;": "v\n|c", "zone": "é"})])

    name = "prod.log_lines_total;app=shop" if tags == "datadog" else "prod.log_lines_total.shop"

    await statsd.wait_for("prod.a_b_1_c", "gauges")
    assert f"'{name}': 4" in await statsd.ask("counters")
    assert "'prod.debt': -5" in await statsd.ask("gauges")
    counted = await statsd.ask("counters")
    assert "'statsd.bad_lines_seen': 0" in counted, counted


@pytest.mark.parametrize("protocol", ["plaintext", "pickle"])
async def test_carbon_writes_what_we_measure(carbon: Carbon, protocol: str) -> None:
    port = carbon.pickle_port if protocol == "pickle" else carbon.port
    address, begin = f"127.0.0.1:{port}", time.time()
    said: dict[str, Any] = {"address": address, "protocol": protocol}
    bare = Graphite.Config.model_validate({**said, "tags": False, "template": "{host}.{name}"})
    async with (
        started(Graphite("dotted", bare)) as dotted,
        started(Graphite("tagged", Graphite.Config.model_validate(said))) as tagged,
    ):
        await dotted.ship([gauge("steersman_host_load1", 0.5, host="h1.example.com")])
        await tagged.ship([gauge("steersman_host_load1", -1.25, host="h1", mount="/a b;c=d\n")])

    async def has_both() -> bool:
        return len(carbon.files()) >= 2

    await until(has_both, carbon.log.read_text)
    tagged_file, dotted_file = carbon.files()
    assert dotted_file == "h1_example_com/steersman_host_load1.wsp"
    assert tagged_file.startswith("_tagged/")

    async def has_points() -> bool:
        return bool(carbon.points(dotted_file, begin) and carbon.points(tagged_file, begin))

    await until(has_points, carbon.log.read_text)
    assert carbon.points(dotted_file, begin) == [0.5]
    assert carbon.points(tagged_file, begin) == [-1.25]


async def test_prometheus_scrapes_what_we_measure(tmp_path: Path) -> None:
    server, port = PrometheusServer(tmp_path), free_port()
    words = server.words(port, TOKEN)
    config = Prometheus.Config(address=f"127.0.0.1:{port}", token=TOKEN)
    latency = "steersman_route_latency_seconds"
    wanted = {
        "up": [("", 1.0)],
        "steersman_log_lines_total": [("shop", 3.0)],
        f"{latency}_sum / {latency}_count": [("shop", 0.25)],
        "orders__pen_now": [('a"b\\c\nd', 4.0)],
    }
    with running(words, server.log, GOMAXPROCS="1") as process:
        async with (
            started(Prometheus("p", config)) as plugin,
            httpx.AsyncClient(timeout=WITHIN) as client,
        ):
            await plugin.ship(
                [
                    counter("steersman_log_lines_total", 3, app="shop", level="error"),
                    gauge(latency, 0.25, app="shop", quantile="0.99"),
                    counter(f"{latency}_sum", 2.5, app="shop"),
                    counter(f"{latency}_count", 10, app="shop"),
                    gauge("orders.öpen-now", 4, app='a"b\\c\nd'),
                ]
            )
            await listening(server.port, process, server.log)

            async def ask(query: str) -> list[tuple[dict[str, str], float]]:
                return server.found(await client.get(server.url("query"), params={"query": query}))

            told: dict[str, list[tuple[str, float]]] = {}

            async def is_scraped() -> bool:
                # All at once: on a busy machine a scrape may be late, and takes them all away.
                for query in wanted:
                    told[query] = [(labels.get("app", ""), n) for labels, n in await ask(query)]
                return told == wanted

            await until(is_scraped, lambda: f"{told}\n{server.log.read_text()}")
            kinds = (await client.get(server.url("metadata"))).json()["data"]
            assert kinds[latency][0]["type"] == "summary"
            assert [kinds[name][0]["type"] for name in kinds if "log_lines" in name] == ["counter"]


@pytest.fixture
def master(munin_port: int) -> Iterator[MuninMaster]:
    needs(MUNIN_UPDATE, "munin")
    if os.geteuid() != 0:
        pytest.skip("munin-update runs as the user munin: only root can start it")
    made = MuninMaster(munin_port, ["steersman", "h1"])
    yield made
    made.remove()


@pytest.fixture
def munin_port() -> int:
    return free_port()


async def test_a_munin_master_polls_apps_and_hosts(master: MuninMaster, munin_port: int) -> None:
    cpu, where = "steersman_process_cpu_seconds_total", {"app": "my-shop", "process": "web"}
    config = Munin.Config(address=f"127.0.0.1:{munin_port}")
    async with started(Munin("m", config)) as plugin:
        await plugin.ship(
            [
                counter(cpu, 5, **where, instance="1", host="h1"),
                counter(cpu, 7.5, **where, instance="1", host="h1"),
                gauge("steersman_process_resident_bytes", 4096, **where),
                counter("steersman_log_lines_total", 1, app="my-shop", level="error"),
                gauge("orders.open", 3, app="my-shop", host="h1"),
                gauge("steersman_host_load1", 0.75, host="h1"),
                gauge("steersman_host_memory_bytes", 1 << 40, host="h1", state="total"),
            ]
        )
        await master.update()
    assert master.complaints() == []
    assert master.values() == {
        "steersman-app_cpu-my_shop-d": "2500",
        "steersman-app_cpu-my_shop-web-d": "2500",
        "steersman-app_memory-my_shop-g": "4096",
        "steersman-app_memory-my_shop-web-g": "4096",
        "steersman-app_errors-my_shop-d": "0",
        "steersman-app_errors-my_shop-error-d": "0",
        "steersman-other_values-orders_open-g": "3",
        "steersman-other_values-orders_open-my_shop-g": "3",
        "h1-host_load_h1-load-g": "0.75",
        "h1-host_memory_h1-total-g": "1099511627776",
    }
