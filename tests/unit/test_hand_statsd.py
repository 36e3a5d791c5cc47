"""StatsD as apps send it: read, summed up in bounded memory, and kept while no hand is there."""

from __future__ import annotations

import contextlib
import json
import math
import os
import random
import select
import shutil
import signal
import socket
import statistics
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.hand.ear import KEPT, Client, Ear, dropped
from steersman.hand.ear_lines import Malformed, read_meta, read_name
from steersman.hand.ear_sums import MOST_BUCKETS, RARELY, REST, Room, Sketch, Sums
from steersman.hand.place import Place
from steersman.hand.statsd import Statsd

WEB = {"app": "shop", "process": "web", "release": "3"}


def heard(*datagrams: bytes, most: int = 100) -> dict[str, float]:
    """Return what datagrams come to: values by name, with the labels that are not ours."""
    sums = Sums(WEB, Room(most))
    for each in datagrams:
        sums.take(each)
    return values(sums)


def values(sums: Sums) -> dict[str, float]:
    found = {}
    for name, value, labels, _, is_begin in sums.flush():
        assert {key: labels[key] for key in WEB} == WEB
        own = "".join(f" {key}={labels[key]}" for key in sorted(labels.keys() - WEB.keys()))
        if not is_begin and (value or not name.startswith("steersman_statsd_")):
            found[name.removeprefix("steersman_statsd_") + own] = value
    return found


def without(found: dict[str, float], *names: str) -> dict[str, float]:
    return {name: value for name, value in found.items() if name not in names}


@pytest.mark.parametrize(
    ("lines", "comes_to"),
    [
        (b"orders.placed:1|c\norders.placed:2|c", {"orders_placed_total": 3}),
        (b"hits:1|c|@0.1", {"hits_total": 10}),
        (b"level:7|g\nlevel:+2|g\nlevel:-4|g", {"level": 5}),
        (b"level:-4|g", {"level": -4}),
        (b"who:ann|s\nwho:bob|s\nwho:ann|s", {"who": 2}),
        (b"who:10:20|s\nwho:10|s", {"who": 2}),
        (b"n:1:2:3|c", {"n_total": 6}),
        (b"n:1|c|#plan:gold,new", {"n_total new=true plan=gold": 1}),
        (b"n:1|c|#b:2,a:1\nn:1|c|#a:1,b:2", {"n_total a=1 b=2": 2}),
        (b"n:1|c|#app:other,host:h", {"n_total tag_app=other tag_host=h": 1}),
        (b"n:1|c|@1|#a:b|c:ci-1|T165", {"n_total a=b": 1}),
        (b"steersman.load:1|g", {"app_steersman_load": 1}),
        (b"\xc3\xa9t\xc3\xa9 1:1|g", {"_t__1": 1}),
    ],
)
def test_lines_come_to_series(lines: bytes, comes_to: dict[str, float]) -> None:
    assert without(heard(lines), "datagrams_total") == comes_to


def test_timers_are_seconds_and_histograms_as_they_are() -> None:
    found = heard(*(b"t:%d|ms" % each for each in range(1, 101)), b"size:10|h\nsize:30|d|@0.5")
    assert found["t_seconds_count"] == 100
    assert found["t_seconds_sum"] == pytest.approx(5.05)
    assert found["t_seconds quantile=0.5"] == pytest.approx(0.05, rel=0.03)
    assert found["t_seconds quantile=0.99"] == pytest.approx(0.099, rel=0.03)
    assert (found["size_sum"], found["size_count"]) == (70, 3)


@pytest.mark.parametrize(
    "line",
    [b"x", b":1|c", b"x:1", b"x:|c", b"x:y|c", b"x:1|q", b"x:nan|g", b"x:inf|g", b"x:1_0|c",
     b"x:-1|c", b"x:1|c|@0", b"x:1|c|@2", b"x:1|c|@x", b"x:1|c|!", b"...:1|c", b"x:|s",
     b"n" * 200 + b":1|c", b"x:1e999|c"],
)  # fmt: skip
def test_what_is_not_statsd_is_counted_and_makes_no_series(line: bytes) -> None:
    assert heard(line) == {"datagrams_total": 1, "malformed_total": 1}


def test_events_and_service_checks_are_skipped_and_counted() -> None:
    assert heard(b"_e{2,2}:hi|ho|#a:b\n_sc|db|0|m:x") == {
        "datagrams_total": 1,
        "skipped_total": 2,
    }


def test_what_did_not_come_is_told_now_and_then() -> None:
    def told() -> list[tuple[float, bool]]:
        return [(row[1], row[4]) for row in sums.flush() if "_datagrams_" in row[0]]

    sums = Sums(WEB, Room(10))
    assert told() == [(0, True), (0, False)]
    quiet = [len(sums.flush()) for _ in range(2 * RARELY)]
    # Five counters, told twice: who was asked for them long ago would take them for gone.
    assert sorted(set(quiet)) == [0, 5] and sum(quiet) == 10
    sums.take(b"x")
    # It stood still until this interval, and grew in it alone.
    assert told() == [(0, True), (1, False)]
    sums.take(b"x")
    assert told() == [(2, False)]
    assert told() == []


def test_an_app_has_so_many_series_and_gets_room_back() -> None:
    room = Room(3)
    sums, other = Sums(WEB, room), Sums(WEB, room)
    other.take(b"mine:1|c")
    for each in range(5):
        sums.take(b"n%d:1|c" % each)
    found = values(sums)
    assert (found["overflow_total"], "n1_total" in found, "n2_total" in found) == (3, True, False)
    for _ in range(REST + 1):
        sums.flush()
    sums.take(b"later:1|c")
    assert "later_total" in values(sums)
    sums.close()
    other.close()
    assert room.left == 3


def test_many_forms_of_one_series_take_no_memory() -> None:
    sums = Sums(WEB, Room(10))
    for each in range(2000):
        sums.take(b"n:1|c|c:container-%d" % each)
    assert values(sums)["n_total"] == 2000
    assert len(sums._known) < 100


def test_a_set_of_very_many_is_estimated() -> None:
    sums = Sums(WEB, Room(10))
    for each in range(20_000):
        sums.take(b"who:%d|s" % each)
    assert values(sums)["who"] == pytest.approx(20_000, rel=0.25)


def test_quantiles_are_near_in_bounded_memory() -> None:
    chance, sketch = random.Random(1), Sketch()
    seen = [chance.choice((1, -1)) * 10 ** chance.uniform(-8, 8) for _ in range(5000)]
    for value in seen:
        sketch.add(value, 1)
    assert len(sketch._buckets) <= MOST_BUCKETS
    cut = statistics.quantiles(seen, n=100)
    for part in (0.9, 0.99):
        assert sketch.quantile(part) == pytest.approx(cut[round(part * 100) - 1], rel=0.2)
    assert Sketch().quantile(0.5) == 0


@given(st.lists(st.binary(max_size=60), max_size=20))
def test_no_bytes_break_it(datagrams: list[bytes]) -> None:
    for _, value, labels, kind, _ in _flushed(*datagrams):
        assert math.isfinite(value) and kind in ("gauge", "counter")
        assert all(each.isprintable() or max(each) >= "\x80" for each in labels.values())


NAMES = st.text("abcz_.-/ é", min_size=1, max_size=8)
TAGS = st.lists(st.tuples(st.text("abé_1", max_size=4), st.text("xyz: é", max_size=5)), max_size=3)
METRICS = st.tuples(
    NAMES,
    st.floats(-1e12, 1e12),
    st.sampled_from(["c", "g", "ms", "h", "d", "s"]),
    st.one_of(st.none(), st.floats(0.001, 1)),
    TAGS,
)


@given(st.lists(METRICS, max_size=10))
def test_whatever_clients_send_is_taken_or_counted(metrics: list[Any]) -> None:
    lines = []
    for name, value, kind, rate, tags in metrics:
        line = f"{name}:{value!r}|{kind}" + (f"|@{rate!r}" if rate is not None else "")
        lines.append(line + ("|#" + ",".join(f"{k}:{v}" for k, v in tags) if tags else ""))
    sums = Sums(WEB, Room(100))
    sums.take("\n".join(lines).encode())
    refused = sums.told["malformed"]
    useless = sum(
        not name.strip("_.-/ é") or (kind == "c" and value < 0)
        for name, value, kind, _, _ in metrics
    )
    assert refused == useless
    for name, value, labels, _, _ in sums.flush():
        assert name.isidentifier() and name.isascii() and math.isfinite(value)
        assert all(key.isidentifier() and key.isascii() for key in labels)


def test_names_and_types_are_checked_apart() -> None:
    assert read_meta(b"ms|@0.5|#a") == ("ms", 0.5, (("a", "true"),))
    assert read_name(b"2xx") == "_2xx"
    with pytest.raises(Malformed):
        read_name(b"--")


def _flushed(*datagrams: bytes) -> list[Any]:
    sums = Sums(WEB, Room(100))
    for each in datagrams:
        sums.take(each)
    return sums.flush()


@pytest.fixture
def place(tmp_path: Path) -> Place:
    (tmp_path / "apps/shop/env").mkdir(parents=True)
    run = str(tmp_path / "run")
    return Place(str(tmp_path), run, "", "", "", "supervisor", "none", "user", {})


def variables(place: Place, release: int, port: int, more: str = "") -> None:
    text = f'{more}STATSD_HOST="127.0.0.1"\nSTATSD_PORT="{port}"\n'
    Path(place.app("shop", "env", f"{release}.web")).write_text(text)


def free_port() -> int:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@contextlib.contextmanager
def listening(place: Place, linger: float = 1.0) -> Iterator[Statsd]:
    source = Statsd(place, {"linger": linger, "interval": 0.1})
    try:
        yield source
    finally:
        source.close()


def told_of(source: Statsd, name: str, **labels: str) -> list[dict[str, Any]]:
    """Wait until it tells of a name with these labels, and return all that it said by then."""
    said: list[dict[str, Any]] = []
    deadline = time.monotonic() + 20
    while time.monotonic() < deadline:
        new = source.take()
        said += new
        for each in new:
            found = each.get("sample", ["", 0, {}])
            if found[0] == name and labels.items() <= found[2].items():
                return said
        select.select(source.fds, (), (), 0.02)
    raise AssertionError(said)


def send(port: int, *datagrams: bytes) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        for each in datagrams:
            out.sendto(each, ("127.0.0.1", port))


def totals(said: list[dict[str, Any]], name: str) -> list[float]:
    return [each["sample"][1] for each in said if each.get("sample", [""])[0] == name]


def test_what_runs_once_is_no_process_and_told_so(place: Place) -> None:
    env = Path(place.app("shop", "env"))
    variables(place, 3, free_port())
    (env / "3.web").rename(env / "3.@once")
    with listening(place) as source:
        told_of(source, "steersman_statsd_datagrams_total", release="3", process="once")


def test_an_ear_outlives_its_hand_and_tells_the_next_what_it_heard(place: Place) -> None:
    port = free_port()
    variables(place, 3, port, 'DEBUG="1"\n')
    with listening(place, 60) as first:
        told_of(first, "steersman_statsd_datagrams_total", release="3", process="web", app="shop")
        send(port, b"orders:1|c")
        said = told_of(first, "orders_total")
        assert totals(said, "orders_total")[:2] == [0, 1], "and later batches, if it was slow"
        (ear,) = (int(each.parent.name) for each in Path("/proc").glob("[0-9]*/cmdline")
                  if place.run.encode() in _read(each))  # fmt: skip
        # A hand takes its whole process group along.
        assert os.getpgid(ear) != os.getpgid(0)
    # The link is down: no hand is there.
    send(port, b"orders:1|c", b"orders:1|c")
    with socket.socket(socket.AF_UNIX) as onlooker:
        onlooker.connect(first._path)
        seen = b""
        while b'"orders_total", 3.0' not in seen:
            seen += onlooker.recv(65536)
    connected = time.time()
    with listening(place) as second:
        said = told_of(second, "steersman_statsd_datagrams_total", release="3")
        while 3 not in totals(said, "orders_total"):
            said += told_of(second, "orders_total")
        before = [each for each in said if "sample" in each and each["t"] < connected]
        assert 3 in totals(before, "orders_total"), "it has the time at which it was"
        # Told again or not, it never goes back: nobody takes it for a counter begun anew.
        counted = totals(said, "orders_total")
        assert counted == sorted(counted)
    os.kill(ear, signal.SIGKILL)


def test_ports_come_and_go_with_releases_and_two_hands_share_one_ear(place: Place) -> None:
    old, new, gone = free_port(), free_port(), free_port()
    variables(place, 3, old)
    with listening(place) as one, listening(place) as other:
        told_of(one, "steersman_statsd_datagrams_total", release="3")
        variables(place, 4, new)
        Path(place.app("shop", "env", "4")).write_text(f'STATSD_PORT="{gone}"\n')
        Path(place.app("shop", "env", "5.web")).write_text(f'STATSD_PORT="{gone}"\n')
        for source in (one, other):
            told_of(source, "steersman_statsd_datagrams_total", release="4")
        send(new, b"orders:1|c")
        for source in (one, other):
            assert totals(told_of(source, "orders_total", release="4"), "orders_total")
        for each in (5, 6, 7, 8):
            variables(place, each, free_port())
        told_of(one, "steersman_statsd_datagrams_total", release="8")
        assert is_held(old), "the other hand has not said yet that it wants it no more"
        while is_held(old):
            told_of(other, "steersman_statsd_datagrams_total", release="8")


def is_held(port: int) -> bool:
    """Look without trying: who tries has the port for a moment, and the ear may not get it."""
    return bool(dropped([port]))


def test_a_file_of_the_same_tick_is_not_missed(place: Place) -> None:
    port = free_port()
    with listening(place) as source:
        variables(place, 3, free_port())
        told_of(source, "steersman_statsd_datagrams_total", release="3")
        folder = place.app("shop", "env")
        at = os.stat(folder).st_mtime_ns
        variables(place, 4, port)
        os.utime(folder, ns=(at, at))
        told_of(source, "steersman_statsd_datagrams_total", release="4")


def test_a_port_that_is_taken_is_said_and_costs_nobody_else_anything(place: Place) -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as theirs:
        theirs.bind(("127.0.0.1", 0))
        port, free = theirs.getsockname()[1], free_port()
        variables(place, 3, port)
        variables(place, 4, free)
        with listening(place) as source:
            said = told_of(source, "steersman_statsd_datagrams_total", release="4")
    assert [each["lack"] for each in said if "lack" in each] == [
        f"statsd of shop/web: cannot listen on 127.0.0.1:{port}: Address already in use"
    ]


def test_the_first_app_of_a_host_is_heard_from_its_first_datagram(place: Place) -> None:
    root, port = Path(place.root), free_port()
    shutil.rmtree(root / "apps")
    place = place._replace(root=str(root / "srv" / "steersman"))
    Path(place.root).parent.mkdir()
    with listening(place) as source:
        while source.take() or len(source.fds) < 2:
            select.select(source.fds, (), (), 0.02)
        for folder in (place.root, place.app(""), place.app("shop"), place.app("shop", "env")):
            os.mkdir(folder)
            # Whoever watches a folder hears of what is made in it: nothing waits for the next turn.
            assert select.select(source.fds, (), (), 10)[0]
            source.take()
        variables(place, 1, port)
        assert select.select(source.fds, (), (), 10)[0]
        source.take()
        while not is_held(port):
            select.select((), (), (), 0.01)
        send(port, b"orders:1|c")
        assert totals(told_of(source, "orders_total"), "orders_total")[:2] == [0, 1]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def test_what_the_kernel_had_no_room_for_is_known() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as full:
        full.bind(("127.0.0.1", 0))
        full.setblocking(False)
        port = full.getsockname()[1]
        send(port, *[b"orders:1|c"] * 20_000)
        lost, read = dropped([port])[port], 0
        with contextlib.suppress(BlockingIOError):
            while full.recv(100):
                read += 1
    assert lost > 0 and lost + read == 20_000


def test_what_is_kept_for_a_hand_is_bounded_in_time_and_size(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("steersman.hand.ear.MOST_KEPT", 1000)
    with socket.socket(socket.AF_UNIX) as nobody:
        ear = Ear(nobody, 1, 1)
        for second in range(100):
            ear._keep(float(second), {"rows": ["x" * 50]})
        assert 900 < sum(len(line) for _, _, line in ear._kept) == ear._size <= 1000
        ear._keep(100 + KEPT, {"rows": []})
        assert len(ear._kept) == 1


def test_ports_are_bounded_and_those_beyond_are_lacking(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steersman.hand.ear.MOST_PORTS", 2)
    ours, theirs = socket.socketpair()
    with socket.socket(socket.AF_UNIX) as nobody, ours, theirs:
        ear, client = Ear(nobody, 1, 1), Client(ours, 0)
        client.ports = {free_port(): WEB for _ in range(4)}
        ear._clients.append(client)
        ear._listen(client)
        assert (len(ear._ports), json.loads(client.out)) == (
            2,
            {"lack": "more than 2 ports for StatsD"},
        )
        client.ports = {}
        ear._listen(client)
        assert not ear._ports


def test_a_flood_is_bounded_and_counted(place: Place) -> None:
    port = free_port()
    variables(place, 3, port)
    with listening(place) as source:
        told_of(source, "steersman_statsd_datagrams_total")
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
            out.connect(("127.0.0.1", port))
            for _ in range(50_000):
                out.send(b"orders:1|c")
        said, seen = [], 0.0
        while seen < 50_000:
            said += told_of(source, "steersman_statsd_dropped_total")
            heard = totals(said, "steersman_statsd_datagrams_total")[-1]
            seen = heard + totals(said, "steersman_statsd_dropped_total")[-1]
        assert (seen, totals(said, "orders_total")[-1]) == (50_000, heard)
