"""How many samples a second each metrics plugin encodes on one core, sockets left out."""

import argparse
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from statistics import median

from steersman.api.signals import Sample
from steersman_plugins.exposition import series_key, text_for
from steersman_plugins.graphite import Point, lines, path_of, pickles
from steersman_plugins.munin import Talk
from steersman_plugins.munin_graphs import GRAPHS, Sheets
from steersman_plugins.packing import packed
from steersman_plugins.series import Board
from steersman_plugins.statsd import Encoder

Work = Callable[[Sequence[Sample]], int]
"""Takes samples; returns the bytes that it made of them."""


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.wires", description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000, help="of as many series")
    parser.add_argument("--rounds", type=int, default=7)
    chosen = parser.parse_args()
    print(f"{chosen.samples} series, medians of {chosen.rounds} rounds, CPU time of one core")
    print(f"{'':<24}{'samples/s':>12}{'bytes each':>12}")
    for name, work in _works().items():
        seconds, made = _measured(work, chosen.samples, chosen.rounds)
        print(f"{name:<24}{chosen.samples / seconds:>12,.0f}{made / chosen.samples:>12.0f}")
    return 0


def _works() -> Mapping[str, Work]:
    return {
        "statsd, tags": _statsd(Encoder("datadog", "", "")),
        "statsd, names": _statsd(Encoder("none", "", "{name}.{labels}")),
        "graphite, plaintext": lambda samples: sum(map(len, lines(_points(samples)))),
        "graphite, pickle": lambda samples: sum(map(len, pickles(_points(samples)))),
        "prometheus, taken": _taken,
        "prometheus, scraped": _scraped,
        "munin, taken and told": _munin,
    }


def _measured(work: Work, count: int, rounds: int) -> tuple[float, int]:
    """Return the CPU seconds of a round, and the bytes that the last one made."""
    spent, made = [], 0
    for number in range(rounds + 1):
        samples = list(_samples(count, number))
        began = time.process_time()
        made = work(samples)
        spent.append(time.process_time() - began)
    # In the first round counters are seen for the first time, and say nothing.
    return median(spent[1:]), made


def _samples(count: int, number: int) -> Iterator[Sample]:
    names = [graph.sample for graph in GRAPHS if graph.of == "app"]
    plain = Sample(time=1_790_000_000.0 + number, name="", value=0.0)
    for index in range(count):
        name = names[index % len(names)]
        yield replace(
            plain,
            name=name,
            value=index * 1.5 + number,
            kind="counter" if name.endswith("_total") else "gauge",
            labels={
                "host": f"web-{index % 40}.example.com",
                "app": f"app-{index % 97}",
                "process": "web",
                "instance": str(index),
                "release": "7",
            },
        )


def _statsd(encoder: Encoder) -> Work:
    def work(samples: Sequence[Sample]) -> int:
        datagrams, _ = packed(encoder.lines(samples), 1432)
        encoder.keep()
        return sum(map(len, datagrams))

    return work


def _points(samples: Sequence[Sample]) -> list[Point]:
    return [
        (path_of(one, tags=True, prefix="", template=""), (int(one.time), one.value))
        for one in samples
    ]


def _board(samples: Sequence[Sample]) -> Board:
    board = Board(len(samples), 300.0)
    for one in samples:
        board.take(series_key(one), one.value, one.kind, 0.0)
    return board


def _taken(samples: Sequence[Sample]) -> int:
    _board(samples)
    return 0


def _scraped(samples: Sequence[Sample]) -> int:
    board = _board(samples)
    return len(text_for("application/openmetrics-text", board.rows(0.0))[0])


def _munin(samples: Sequence[Sample]) -> int:
    sheets = Sheets(600.0)
    for one in samples:
        sheets.take(one, 0.0)
    talk = Talk("steersman", sheets)
    talk.answer(["cap", "multigraph", "dirtyconfig"], 0.0)
    return sum(
        len(talk.answer(["config", name], 0.0)) for name in talk.answer(["list"], 0.0).split()
    )


if __name__ == "__main__":
    raise SystemExit(main())
