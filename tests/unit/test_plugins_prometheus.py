"""The Prometheus plugin: text that Prometheus's own parsers read back, whatever apps say."""

import asyncio
import itertools
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import Metric, openmetrics
from prometheus_client import parser as plain_parser
from prometheus_client.openmetrics import parser as open_parser

from steersman.api.plugging import PluginError
from steersman.api.signals import Sample
from steersman_plugins.door import MOST_AT_A_TIME
from steersman_plugins.exposition import families, plain_text, series_key, text_for
from steersman_plugins.prometheus import Prometheus
from steersman_plugins.series import Board, Key, Latest
from transport_lab import free_port

OPEN = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
_NAMES = st.text(max_size=30) | st.sampled_from(
    ["a", "a_total", "a_sum", "a_count", "a_bucket", "a_created", "a_info", "a.b", "a_b", "1"]
)
_VALUES = st.text(max_size=20) | st.sampled_from(['"', "\\", "\n", 'a"b\\n', "0.5", "\udc80", "é"])
_LABELS = st.sampled_from(["quantile", "le", "__name__", "app", "a-b", "a_b", "0", ""]) | st.text()
HOSTILE = st.builds(
    Sample,
    time=st.just(1.0),
    name=_NAMES,
    value=st.floats(allow_nan=False, allow_infinity=False) | st.integers(-9, 9),
    labels=st.dictionaries(_LABELS, _VALUES, max_size=4),
    kind=st.sampled_from(["gauge", "counter"]),
)


def sample(name: str, value: float, kind: Any = "gauge", **labels: str) -> Sample:
    return Sample(time=1.0, name=name, value=value, labels=labels, kind=kind)


def rows(samples: Sequence[Sample]) -> Sequence[tuple[Key, Latest]]:
    board = Board(1000, 60)
    for one in samples:
        board.take(series_key(one), one.value, one.kind, 0.0)
    return board.rows(0.0)


def read_plain(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in plain_parser.text_string_to_metric_families(text)
        for one in family.samples
    }


def read_open(text: str) -> dict[tuple[str, tuple[tuple[str, str], ...]], float]:
    read: Callable[[str], Iterable[Metric]] = open_parser.text_string_to_metric_families
    return {
        (one.name, tuple(sorted(one.labels.items()))): one.value
        for family in read(text)
        for one in family.samples
    }


@given(st.lists(HOSTILE, max_size=12))
@example([sample("a", 1, quantile="0.5"), sample("a_sum", 1, quantile="0.5")])
@example([sample("a", 1, "counter"), sample("a_created", 1, "counter")])
@example([sample("a", 1), sample("_total", 1, "counter")])
def test_whatever_apps_say_is_read_back_by_both_parsers(samples: list[Sample]) -> None:
    board = rows(samples)
    text, content_type = text_for(OPEN, board)
    assert content_type == openmetrics.exposition.CONTENT_TYPE_LATEST
    made, left_out = families(board)
    told = {
        (one.name, tuple(sorted(one.labels.items()))): float(one.value)
        for family in made
        for one in family.samples
    }
    assert len(told) + left_out == len(board)
    assert read_open(text.decode()) == told
    assert read_plain(plain_text(board).decode()) == told


def test_quantiles_are_a_summary_with_their_sum_and_count() -> None:
    name = "steersman_route_latency_seconds"
    parts = [
        sample(name, 0.25, app="shop", quantile="0.5"),
        sample(name, 0.5, app="shop", quantile="0.99"),
        sample(f"{name}_sum", 12.5, "counter", app="shop"),
        sample(f"{name}_count", 40, "counter", app="shop"),
    ]
    for order in itertools.permutations(parts):
        made, left_out = families(rows(order))
        assert [(one.name, one.type, len(one.samples)) for one in made] == [(name, "summary", 4)]
        assert left_out == 0


def test_help_and_type_are_said_of_each_family() -> None:
    text = plain_text(rows([sample("steersman_log_lines_total", 3, "counter", level="error")]))
    assert text.decode() == (
        "# HELP steersman_log_lines_total Log lines by level.\n"
        "# TYPE steersman_log_lines_total counter\n"
        'steersman_log_lines_total{level="error"} 3.0\n'
    )


def test_a_name_of_two_kinds_is_one_kind_always() -> None:
    both = [sample("a", 1), sample("a_total", 2, "counter")]
    one_way, other_way = families(rows(both)), families(rows(both[::-1]))
    assert [f.type for f in one_way[0]] == [f.type for f in other_way[0]] == ["gauge"]
    assert one_way[1] == other_way[1] == 1


def test_the_board_lets_go_and_takes_no_more_than_its_bound() -> None:
    board = Board(2, 60)
    board.take(("a", ()), 1, "gauge", 0.0)
    board.take(("b", ()), 1, "gauge", 50.0)
    board.take(("c", ()), 1, "gauge", 50.0)
    assert board.refused == 1
    assert [key[0] for key, _ in board.rows(50.0)] == ["a", "b"]
    board.take(("c", ()), 1, "gauge", 61.0)
    assert [key[0] for key, _ in board.rows(61.0)] == ["b", "c"]
    board.take(("b", ()), 2, "gauge", 90.0)
    assert [(key[0], one.value) for key, one in board.rows(130.0)] == [("b", 2)]


@asynccontextmanager
async def shown(**config: Any) -> AsyncIterator[tuple[Prometheus, str]]:
    port = free_port()
    plugin = Prometheus("p", Prometheus.Config(address=f"127.0.0.1:{port}", **config))
    await plugin.start()
    yield plugin, f"http://127.0.0.1:{port}/metrics"
    await plugin.close()


async def test_metrics_are_answered_in_the_format_asked_for() -> None:
    async with shown() as (plugin, url), httpx.AsyncClient() as client:
        await plugin.ship([sample("orders", 2, app="shop"), sample("bad", float("nan"))])
        plain = await client.get(url)
        assert plain.headers["content-type"].startswith("text/plain; version=0.0.4")
        assert read_plain(plain.text) == {("orders", (("app", "shop"),)): 2.0}
        opened = await client.get(url, headers={"Accept": OPEN})
        assert opened.headers["content-type"].startswith("application/openmetrics-text")
        assert opened.text.endswith("# EOF\n")
        head = await client.head(url)
        assert (head.status_code, head.content) == (200, b"")


async def test_other_requests_are_refused_by_their_codes() -> None:
    async with shown() as (_, url), httpx.AsyncClient() as client:
        assert (await client.post(url)).status_code == 405
        assert (await client.get(url.replace("/metrics", "/other"))).status_code == 404


async def test_who_lacks_the_token_reads_nothing() -> None:
    async with shown(token="s3cret") as (plugin, url), httpx.AsyncClient() as client:
        await plugin.ship([sample("orders", 2)])
        for said in ({}, {"Authorization": "Bearer wrong"}, {"Authorization": "Basic s3cret"}):
            refused = await client.get(url, headers=said)
            assert (refused.status_code, refused.content) == (401, b"")
        assert (await client.get(url, headers={"Authorization": "Bearer s3cret"})).is_success


@pytest.mark.parametrize(
    "said",
    [
        b"garbage\r\n\r\n",
        b"\x00\xff\r\n\r\n",
        b"GET /metrics HTTP/1.1\r\n" + b"A: b\r\n" * 60,
        b"GET /" + b"x" * 100_000,
        b"GET /metrics HTTP/1.1\r\nHost",
    ],
)
async def test_garbage_is_shown_out(said: bytes) -> None:
    async with shown() as (_, url), httpx.AsyncClient() as client:
        host, port = url.split("/")[2].split(":")
        reader, writer = await asyncio.open_connection(host, int(port))
        writer.write(said)
        writer.write_eof()
        try:
            answer = await reader.read()
        except ConnectionError:
            answer = b""
        assert not answer or answer.startswith(b"HTTP/1.1 4")
        writer.close()
        assert (await client.get(url)).is_success


async def test_those_who_hang_keep_nobody_out_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steersman_plugins.prometheus._WITHIN", 0.2)
    async with shown() as (plugin, url), httpx.AsyncClient() as client:
        host, port = url.split("/")[2].split(":")
        hanging = [await asyncio.open_connection(host, int(port)) for _ in range(MOST_AT_A_TIME)]
        reader, writer = await asyncio.open_connection(host, int(port))
        with pytest.raises(ConnectionResetError):
            if not await reader.read():
                raise ConnectionResetError
        writer.close()
        for reader, writer in hanging:
            with pytest.raises(ConnectionResetError):
                if not await reader.read():
                    raise ConnectionResetError
            writer.close()
        # One who asks is not of those who hang, however slow this machine is.
        assert plugin._door is not None
        plugin._door._within = 60.0
        assert (await client.get(url)).is_success


async def test_a_port_that_is_taken_is_told_with_the_way_out() -> None:
    async with shown() as (_, url):
        address = url.split("/")[2]
        other = Prometheus("q", Prometheus.Config(address=address))
        with pytest.raises(PluginError, match=f"cannot listen on {address}: .*free the port"):
            await other.start()


async def test_a_textfile_is_replaced_whole(tmp_path: Path) -> None:
    path = tmp_path / "steersman.prom"
    plugin = Prometheus("p", Prometheus.Config(textfile=str(path), interval="0.001ms"))
    await plugin.start()
    assert path.read_bytes() == b""
    with path.open("rb") as reader:
        await plugin.ship([sample("orders", 2)])
        assert reader.read() == b""
    assert read_plain(path.read_text()) == {("orders", ()): 2.0}
    assert path.stat().st_mode & 0o777 == 0o644
    assert [one.name for one in tmp_path.iterdir()] == [path.name]
    await plugin.close()
    assert list(tmp_path.iterdir()) == []


async def test_a_folder_that_is_missing_is_told_with_the_way_out(tmp_path: Path) -> None:
    path = tmp_path / "none" / "steersman.prom"
    with pytest.raises(PluginError, match=f"cannot write {path}: No such file"):
        await Prometheus("p", Prometheus.Config(textfile=str(path))).start()


@pytest.mark.parametrize("config", [{}, {"textfile": "/tmp/x.txt"}, {"address": "unix:/x"}])
def test_a_config_that_shows_nothing_is_refused(config: dict[str, str]) -> None:
    with pytest.raises(ValueError, match="allowed"):
        Prometheus.Config(**config)
