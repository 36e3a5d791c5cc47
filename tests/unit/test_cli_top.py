"""steer top: columns where there are samples, values that hold now, and a trend."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from laws.daemon import Daemon, in_thread
from steersman.api.signals import Sample
from steersman.cli.app import run
from steersman.cli.top_columns import ASCII, BLOCKS, STEP, days, newest, percent, sparkline

Top = Callable[..., tuple[int, str, str]]


@pytest.fixture
def served(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Daemon]:
    for name in [each for each in os.environ if each.startswith("STEER_")]:
        monkeypatch.delenv(name)
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name.lower()))
    with in_thread(tmp_path / "state" / "steersman") as one:
        yield one


@pytest.fixture
def top(capfd: pytest.CaptureFixture[str]) -> Top:
    def asked(*args: str) -> tuple[int, str, str]:
        code = run(["top", *args])
        out, err = capfd.readouterr()
        return code, out, err

    return asked


def measure(served: Daemon, name: str, per_second: float, **labels: str) -> None:
    """Have a counter grow for a minute until now."""
    now = time.time()
    for ago in range(60, -1, -5):
        publish(served, name, (60 - ago) * per_second, now - ago, "counter", **labels)


def publish(
    served: Daemon, name: str, value: float, at: float, kind: str = "gauge", **labels: str
) -> None:
    sample = Sample(time=at, name=f"steersman_{name}", value=value, labels=labels, kind=kind)  # type: ignore[arg-type]
    served.parts.hub.publish(sample)


def fill(served: Daemon) -> None:
    now = time.time()
    for host in ("h1", "h2"):
        for instance, cpu in (("1", 0.25), ("2", 0.5)):
            of = {"app": "shop", "process": "web", "instance": instance, "release": "3"}
            measure(served, "process_cpu_seconds_total", cpu, host=host, **of)
            publish(served, "process_resident_bytes", 64 * 2**20, now - 15, host=host, **of)
        measure(served, "host_cpu_seconds_total", 1.5, host=host, mode="user")
        measure(served, "host_cpu_seconds_total", 0.5, host=host, mode="idle")
        publish(served, "host_memory_bytes", 1 * 2**30, now - 15, host=host, state="available")
        publish(served, "host_memory_bytes", 4 * 2**30, now - 15, host=host, state="total")
    desk = {"app": "desk", "process": "web", "instance": "1", "release": "1", "host": "h1"}
    measure(served, "process_cpu_seconds_total", 2.0, **desk)
    for code, rate in (("200", 19.0), ("502", 1.0)):
        measure(served, "route_requests_total", rate, app="shop", host="h1", code=code)
    for host, value in (("h1", 0.2), ("h2", 0.35)):
        labels = {"app": "shop", "host": host, "quantile": "0.99"}
        publish(served, "route_latency_seconds", value, now - 15, **labels)


def test_apps_have_the_columns_that_were_measured(served: Daemon, top: Top) -> None:
    fill(served)
    code, out, err = top("apps")
    titles, desk, shop = out.splitlines()
    assert (code, err) == (0, "")
    assert " ".join(titles.split()) == "NAME CPU(cores) MEMORY(bytes) RPS ERRORS P99 TREND"
    assert desk.split()[:6] == ["desk", "2000m", "-", "-", "-", "-"]
    assert shop.split()[:6] == ["shop", "1500m", "256Mi", "20", "5.0%", "350ms"]
    assert shop.split()[6].endswith("███")
    by_cpu = top("app", "--no-headers", "--sort-by", "cpu")[1]
    assert [line.split()[0] for line in by_cpu.splitlines()] == ["desk", "shop"]
    by_memory = top("apps", "--no-headers", "--sort-by", "memory")[1]
    assert [line.split()[0] for line in by_memory.splitlines()] == ["shop", "desk"]


def test_hosts_and_processes_and_one_name(served: Daemon, top: Top) -> None:
    fill(served)
    titles, first, second = top("hosts")[1].splitlines()
    assert titles.split() == ["NAME", "CPU(cores)", "AVAILABLE(bytes)", "AVAILABLE%", "TREND"]
    assert (first.split()[:4], second.split()[0]) == (["h1", "1500m", "1024Mi", "25%"], "h2")
    one = top("host", "h2", "--no-headers")[1].splitlines()
    assert [line.split()[0] for line in one] == ["h2"]
    rows = [line.split()[:7] for line in top("processes", "shop")[1].splitlines()]
    assert rows[0] == [
        "APP",
        "PROCESS",
        "INSTANCE",
        "HOST",
        "RELEASE",
        "CPU(cores)",
        "MEMORY(bytes)",
    ]
    assert rows[1] == ["shop", "web", "1", "h1", "3", "250m", "64Mi"]
    assert len(rows) == 5
    data = json.loads(top("processes", "desk", "-o", "json")[1])
    (item,) = data["items"]
    assert (item["app"], item["host"], item["release"]) == ("desk", "h1", "1")
    assert item["cpu"] == pytest.approx(2.0, rel=0.01)
    assert item["trend"]["step"] == STEP and item["trend"]["points"]


def test_what_is_no_more_is_left_out(served: Daemon, top: Top) -> None:
    now = time.time()
    publish(served, "process_resident_bytes", 2**20, now - 90, app="gone")
    publish(served, "process_resident_bytes", 2**20, now - 15, app="here")
    publish(served, "process_restarts_total", 2, now - 90, app="here")
    assert [line.split()[0] for line in top("apps", "--no-headers")[1].splitlines()] == ["here"]


def test_what_is_not_there_is_said(served: Daemon, top: Top, tmp_path: Path) -> None:
    code, out, err = top("apps")
    assert (code, out) == (0, "") and "nothing of that was measured" in err
    assert "shop: nothing" in top("apps", "shop")[2]
    code, _, err = top("apps", "--sort-by", "size")
    assert code == 2 and "cpu, memory, rps" in err
    assert top("pods")[0] == 2
    code, _, err = top("apps", "--context", "local")
    assert code == 1 and "steer serve" in err


def test_no_terminal_is_sent_what_it_cannot_show(
    served: Daemon, top: Top, monkeypatch: pytest.MonkeyPatch
) -> None:
    fill(served)
    publish(served, "process_resident_bytes", 1, time.time() - 15, app="\x1b[2Jx")
    monkeypatch.setattr("steersman.cli.top._speaks_unicode", lambda: False)
    out = top("apps")[1]
    assert "\x1b" not in out and out.isascii()
    assert "#" in out.splitlines()[-1]


def test_a_trend_is_drawn_from_zero_with_gaps_left_out() -> None:
    points = {0: 0.0, 10: 5.0, 30: 10.0}
    assert sparkline(points, 30, 5, BLOCKS) == " ▁▅ █"
    assert sparkline(points, 30, 3, ASCII) == "= #"
    assert sparkline({30: 0.0}, 30, 2, BLOCKS) == " ▁"


def test_a_value_holds_for_a_while_and_a_rate_is_of_the_last_steps() -> None:
    points = {0: 1.0, 60: 2.0, 70: 4.0, 80: 6.0, 90: 8.0}
    assert newest(points, 90, is_rate=True) == 6
    # A counter that says nothing did not grow.
    assert newest(points, 110, is_rate=True) == pytest.approx(8 / 3)
    assert newest(points, 200, is_rate=True) == 0
    assert newest(points, 240, is_rate=False) == 8
    assert newest(points, 241, is_rate=False) is None
    assert (percent(0.0), percent(0.004), percent(0.5)) == ("0%", "0.4%", "50%")
    assert (days(59), days(7300), days(200_000)) == ("59s", "2h", "2d")
