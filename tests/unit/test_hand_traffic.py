"""What nginx's log says of an app's answers lately."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path

from steersman.hand.traffic import counted


def line(at: float, status: int, zone: str = "+0000", request: str = "GET / HTTP/1.1") -> str:
    shift = (1 if zone[0] == "+" else -1) * (int(zone[1:3]) * 3600 + int(zone[3:]) * 60)
    stamp = time.strftime("%d/%b/%Y:%H:%M:%S", time.gmtime(at + shift))
    return f'10.0.0.1 - - [{stamp} {zone}] "{request}" {status} 12 "-" "curl/8 [x] 500 "\n'


def test_only_the_last_seconds_count(tmp_path: Path) -> None:
    now, log = time.time(), tmp_path / "a.log"
    old = [line(now - 100, 500), line(now - 100, 200)]
    log.write_text("".join([*old, line(now - 1, 502), line(now - 1, 404), line(now, 200)]))
    told = counted(str(log), None, 10.0)
    assert (told["requests"], told["errors"]) == (3, 1)
    assert counted(str(log), None, 1000.0)["errors"] == 2


def test_caddys_lines_are_read_as_well(tmp_path: Path) -> None:
    now, log = time.time(), tmp_path / "a.log"
    told: list[dict[str, object]] = [
        {"ts": now - 100, "status": 500},
        {"ts": now - 1, "status": 502, "request": {"uri": '/","status":200,"'}},
        {"ts": now - 0.1, "status": 200, "request": {"uri": '/","status":500,"'}},
        {"ts": now, "level": "info"},
    ]
    log.write_text('cut off"}\n' + "".join(f"{json.dumps(each)}\n" for each in told) + '{"ts": 1')
    counts = counted(str(log), None, 10.0)
    assert (counts["requests"], counts["errors"]) == (2, 1)


def test_a_switch_begins_the_window(tmp_path: Path) -> None:
    now, log, link = time.time(), tmp_path / "a.log", tmp_path / "serving"
    link.symlink_to("releases/8")
    os.utime(link, (now - 30, now - 30), follow_symlinks=False)
    log.write_text(line(now - 60, 500) + line(now - 20, 200))
    told = counted(str(log), str(link), None)
    assert (told["requests"], told["errors"]) == (1, 0)
    assert 29 < float(str(told["seconds"])) < 40


def test_hosts_in_any_zone_and_strange_requests_are_read(tmp_path: Path) -> None:
    now, log = time.time(), tmp_path / "a.log"
    quoted = "GET /\\x22] 200 HTTP/1.1"
    log.write_text(line(now, 503, "-0930") + line(now, 500, "+0545", quoted) + "rubbish\n\xff")
    told = counted(str(log), None, 5.0)
    assert (told["requests"], told["errors"]) == (2, 2)


def test_no_log_is_no_traffic(tmp_path: Path) -> None:
    told = counted(str(tmp_path / "none"), str(tmp_path / "no-link"), None)
    assert (told["requests"], told["errors"]) == (0, 0)
