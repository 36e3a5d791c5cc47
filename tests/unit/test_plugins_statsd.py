"""The StatsD plugin: lines that no hostile name can break, growth told once, and no stall."""

import itertools
import re
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.api.plugging import PluginError
from steersman.api.signals import Sample
from steersman_plugins.packing import packed
from steersman_plugins.series import Growth, key_of, number
from steersman_plugins.statsd import Encoder, Statsd

_WORDS = st.text(max_size=300) | st.sampled_from(["a\nb:1|c", "a|#b", ";", "x:y", "\udc80", "é"])
HOSTILE = st.builds(
    Sample,
    time=st.just(1.0),
    name=_WORDS,
    value=st.floats(allow_nan=False, allow_infinity=False),
    labels=st.dictionaries(_WORDS, _WORDS, max_size=40),
    kind=st.sampled_from(["gauge", "counter"]),
)
_NUMBER = r"-?\d+(?:\.\d+)?"
_TAGGED = re.compile(
    rf"[\w.-]+:{_NUMBER}\|(?:g|c)(?:\|#[\w./-]*:[\w.:/-]+(?:,[\w./-]*:[\w.:/-]+)*)?"
)
_BARE = re.compile(rf"[A-Za-z0-9_.-]+:{_NUMBER}\|(?:g|c)")


def gauge(value: float, name: str = "orders", **labels: str) -> Sample:
    return Sample(time=1.0, name=name, value=value, labels=labels)


def counter(value: float, name: str = "orders_total", **labels: str) -> Sample:
    return Sample(time=1.0, name=name, value=value, labels=labels, kind="counter")


def said(encoder: Encoder, *samples: Sample) -> list[str]:
    lines = [line.decode() for line in encoder.lines(samples)]
    encoder.keep()
    return lines


@pytest.fixture
def server() -> Iterator[socket.socket]:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as bound:
        bound.bind(("127.0.0.1", 0))
        bound.setblocking(False)
        yield bound


def statsd(address: str, **config: Any) -> Statsd:
    return Statsd("s", Statsd.Config(address=address, **config))


def received(server: socket.socket) -> list[bytes]:
    got: list[bytes] = []
    while True:
        try:
            got.append(server.recv(65536))
        except BlockingIOError:
            return got


@given(st.lists(HOSTILE, max_size=5), st.sampled_from(["datadog", "none"]))
def test_no_hostile_sample_makes_another_line(
    samples: list[Sample], tags: Literal["datadog", "none"]
) -> None:
    encoder = Encoder(tags, "", "{name}.{labels}")
    form = _TAGGED if tags == "datadog" else _BARE
    for line in (*said(encoder, *samples), *said(encoder, *samples)):
        for metric in line.split("\n"):
            assert form.fullmatch(metric), metric


def test_a_counter_is_told_as_its_growth() -> None:
    encoder = Encoder("datadog", "", "{name}")
    assert said(encoder, counter(7)) == []
    assert said(encoder, counter(9), counter(12.5)) == ["orders_total:2|c", "orders_total:3.5|c"]
    assert said(encoder, counter(12.5)) == []


def test_a_counter_that_began_again_grew_from_zero() -> None:
    encoder = Encoder("datadog", "", "{name}")
    said(encoder, counter(100))
    assert said(encoder, counter(4)) == ["orders_total:4|c"]


def test_growth_beyond_all_numbers_is_none() -> None:
    encoder = Encoder("datadog", "", "{name}")
    said(encoder, counter(-1e308))
    assert said(encoder, counter(1e308)) == []


def test_growth_that_did_not_arrive_is_told_again() -> None:
    encoder = Encoder("datadog", "", "{name}")
    said(encoder, counter(1))
    assert list(encoder.lines([counter(3)])) == [b"orders_total:2|c"]
    assert said(encoder, counter(3)) == ["orders_total:2|c"]


def test_labels_are_tags_or_words_of_the_name() -> None:
    sample = gauge(1, host="web.1", app="shop", zone="b")
    assert said(Encoder("datadog", "prod", ""), sample) == [
        "prod.orders:1|g|#app:shop,host:web.1,zone:b"
    ]
    assert said(Encoder("none", "", "{name}.{labels}"), sample) == ["orders.web_1.shop.b:1|g"]
    assert said(Encoder("none", "", "{app}.{process}.{name}"), sample) == ["shop._.orders:1|g"]


def test_a_negative_gauge_goes_by_way_of_zero_in_one_datagram() -> None:
    assert said(Encoder("datadog", "", ""), gauge(-2.5)) == ["orders:0|g\norders:-2.5|g"]


@given(st.lists(st.binary(min_size=1, max_size=60)), st.integers(20, 50))
def test_datagrams_hold_whole_lines_in_order(lines: list[bytes], limit: int) -> None:
    datagrams, too_long = packed(lines, limit)
    fitting = [line for line in lines if len(line) <= limit]
    assert b"\n".join(datagrams) == b"\n".join(fitting)
    assert all(len(one) <= limit for one in datagrams)
    assert too_long == len(lines) - len(fitting)
    assert all(
        len(one) + 1 + len(after.split(b"\n")[0]) > limit
        for one, after in itertools.pairwise(datagrams)
        if b"\n" not in b"".join(fitting)
    )


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0"), (-0.0, "0"), (1e16, "1" + "0" * 16), (1e-7, "0.0000001"), (0.1, "0.1")],
)
def test_numbers_have_no_exponent(value: float, text: str) -> None:
    assert number(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_are_told_exactly(value: float) -> None:
    assert float(number(value)) == value
    assert "e" not in number(value)


async def test_datagrams_fit_into_a_frame(server: socket.socket) -> None:
    plugin = statsd(f"127.0.0.1:{server.getsockname()[1]}")
    await plugin.start()
    await plugin.ship([gauge(n, app=f"app-{n}") for n in range(500)])
    await plugin.close()
    got = received(server)
    assert 2 < len(got) < 15
    assert max(map(len, got)) <= 1432
    assert b"\n".join(got).split(b"\n") == [
        f"orders:{n}|g|#app:app-{n}".encode() for n in range(500)
    ]


async def test_what_is_no_number_is_not_sent(server: socket.socket) -> None:
    plugin = statsd(f"127.0.0.1:{server.getsockname()[1]}")
    await plugin.ship([gauge(float("nan")), gauge(float("inf")), gauge(1)])
    await plugin.close()
    assert received(server) == [b"orders:1|g"]


async def test_a_server_that_is_not_there_is_told_and_growth_kept(
    server: socket.socket,
) -> None:
    port = server.getsockname()[1]
    plugin = statsd(f"127.0.0.1:{port}")
    await plugin.ship([counter(1)])
    server.close()
    with pytest.raises(PluginError, match=rf"no StatsD server .*127\.0\.0\.1:{port}.*refused"):
        await plugin.ship([counter(5)])
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as again:
        again.bind(("127.0.0.1", port))
        again.setblocking(False)
        await plugin.ship([counter(5)])
        assert received(again) == [b"orders_total:4|c"]
    await plugin.close()


async def test_a_local_socket_takes_larger_datagrams(tmp_path: Path) -> None:
    with bound_at(tmp_path / "dsd") as server:
        plugin = statsd(f"unix:{tmp_path}/dsd")
        await plugin.ship([gauge(n) for n in range(2000)])
        got = received(server)
        await plugin.close()
    assert max(map(len, got)) > 8000
    assert max(map(len, got)) <= 8192
    assert sum(one.count(b"\n") + 1 for one in got) == 2000


async def test_a_reader_that_hangs_is_an_error_in_time_and_a_count(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("steersman_plugins.statsd._PATIENCE", 0.05)
    with bound_at(tmp_path / "dsd") as server:
        plugin = statsd(f"unix:{tmp_path}/dsd")
        with pytest.raises(PluginError, match="nobody reads them; start it"):
            await plugin.ship([gauge(n, pad="x" * 200) for n in range(20_000)])
        got = received(server)
        assert plugin.dropped > 0
        assert sum(one.count(b"\n") + 1 for one in got) + plugin.dropped == 20_000
        await plugin.ship([gauge(7)])
        assert received(server) == [b"orders:7|g"]
        await plugin.close()


async def test_a_missing_local_socket_is_told_with_the_way_out(tmp_path: Path) -> None:
    with pytest.raises(PluginError, match="No such file or directory; start it, or mend"):
        await statsd(f"unix:{tmp_path}/none").start()


@pytest.mark.parametrize(
    "address", ["", "localhost", "a b:1", "h:0", "h:70000", "unix:relative", "h:1\n", "[::1]"]
)
def test_an_address_that_means_nothing_is_refused(address: str) -> None:
    with pytest.raises(ValueError, match="allowed: host:port"):
        Statsd.Config(address=address)


def bound_at(path: Path) -> socket.socket:
    server = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    server.bind(str(path))
    server.setblocking(False)
    return server


def test_a_series_is_remembered_in_bounded_room() -> None:
    labels = {f"{n}" * 1000: "x" * 100_000 for n in range(100)}
    name, kept = key_of(Sample(time=1, name="n" * 9999, value=1, labels=labels))
    assert len(name) + sum(len(key) + len(value) for key, value in kept) <= 200 + 20 * 400


def test_growth_is_remembered_of_the_latest_seen_alone() -> None:
    growth = Growth(most=2)
    for name in ("a", "b", "a", "c"):
        growth.keep({(name, ()): 1.0})
    assert [growth.of((name, ()), 3.0, {}) for name in ("a", "b", "c")] == [2.0, 0.0, 2.0]
