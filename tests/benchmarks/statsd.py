"""A flood of StatsD on one host: what the ear hears, drops and counts, and what that costs."""

from __future__ import annotations

import argparse
import multiprocessing
import os
import select
import socket
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from steersman.hand.place import Place
from steersman.hand.statsd import Statsd

TICK = os.sysconf("SC_CLK_TCK")


@dataclass
class Heard:
    """The newest value of each series that the ear has told of."""

    values: dict[str, float] = field(default_factory=dict)
    series: set[str] = field(default_factory=set)

    def take(self, said: list[dict[str, Any]]) -> None:
        for name, value, labels, _ in (each["sample"] for each in said if "sample" in each):
            self.values[name] = value
            self.series.add(f"{name}{sorted(labels.items())}")

    def own(self, name: str) -> float:
        return self.values.get(f"steersman_statsd_{name}_total", 0.0)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.statsd", description=__doc__)
    parser.add_argument("--rate", type=int, default=50_000, help="datagrams a second")
    parser.add_argument("--seconds", type=int, default=10)
    chosen = parser.parse_args()
    titles = ("sent", "a second", "heard", "dropped", "uncounted", "ear CPU", "ear MiB", "series")
    print(f"{'datagrams of':<20}" + "".join(f"{title:>11}" for title in titles))
    for about, names in (("one counter", 1), ("2,000 names", 2000), ("100,000 names", 100_000)):
        print(f"{about:<20}{_flood(chosen.rate, chosen.seconds, names)}", flush=True)
    print(f"\nwithout a hand for 5 s, of 1,000 datagrams a second lost: {_gap(1000, 5)}")
    return 0


def _flood(rate: int, seconds: int, names: int) -> str:
    with _ear() as (source, port, heard):
        pid = _pid(source)
        before, began = _cpu(pid), time.monotonic()
        results: Any = multiprocessing.SimpleQueue()
        sender = multiprocessing.Process(target=_send, args=(port, rate, seconds, names, results))
        sender.start()
        while sender.is_alive():
            _listen(source, heard, 0.2)
        took = time.monotonic() - began
        sent = results.get()
        # The last interval may have begun just now.
        until = time.monotonic() + 3
        while time.monotonic() < until:
            _listen(source, heard, 0.2)
        cpu = (_cpu(pid) - before) / took
        known, dropped = heard.own("datagrams"), heard.own("dropped")
        counts = (sent, sent / took, known, dropped, sent - known - dropped)
        numbers = "".join(f"{each:>11,.0f}" for each in counts)
        return f"{numbers}{cpu:>11.0%}{_peak(pid):>11.1f}{len(heard.series):>11,}"


def _gap(rate: int, seconds: int) -> str:
    """Return how many datagrams of a time without a hand nobody ever hears of."""
    with _ear() as (source, port, heard):
        source.close()
        results: Any = multiprocessing.SimpleQueue()
        _send(port, rate, seconds, 1, results)
        sent, until = results.get(), time.monotonic() + 10
        while heard.own("datagrams") < sent and time.monotonic() < until:
            _listen(source, heard, 0.2)
        return f"{sent - heard.own('datagrams'):,.0f} of {sent:,}"


def _send(port: int, rate: int, seconds: int, names: int, results: Any) -> None:
    kinds = ("c", "g", "ms", "h", "s")
    lines = [f"flood.n{each}:{each % 97 + 1}|{kinds[each % 5]}".encode() for each in range(names)]
    if names == 1:
        lines = [b"flood:1|c"]
    sent = 0
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as out:
        out.connect(("127.0.0.1", port))
        began = time.monotonic()
        while (passed := time.monotonic() - began) < seconds:
            for _ in range(min(int(passed * rate) - sent, rate // 20)):
                out.send(lines[sent % len(lines)])
                sent += 1
            time.sleep(0.001)
    results.put(sent)


@contextmanager
def _ear() -> Iterator[tuple[Statsd, int, Heard]]:
    """Yield a source whose ear listens already, and its port."""
    with tempfile.TemporaryDirectory(prefix="steersman-bench-") as folder:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        env = Path(folder, "apps", "shop", "env")
        env.mkdir(parents=True)
        (env / "1.web").write_text(f'STATSD_HOST="127.0.0.1"\nSTATSD_PORT="{port}"\n')
        place = Place(folder, f"{folder}/run", "", "", "", "supervisor", "none", "user", {})
        source, heard = Statsd(place, {"linger": 10, "interval": 1.0}), Heard()
        try:
            while not heard.values:
                _listen(source, heard, 0.2)
            yield source, port, heard
        finally:
            source.close()


def _listen(source: Statsd, heard: Heard, wait: float) -> None:
    select.select(source.fds, (), (), wait)
    heard.take(source.take())


def _pid(source: Statsd) -> int:
    for each in Path("/proc").iterdir():
        if each.name.isdigit() and source._path.encode() in _cmdline(each):
            return int(each.name)
    raise SystemExit("the ear has gone")


def _cmdline(process: Path) -> bytes:
    try:
        return (process / "cmdline").read_bytes()
    except OSError:
        return b""


def _cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def _peak(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


if __name__ == "__main__":
    sys.exit(main())
