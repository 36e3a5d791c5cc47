"""A proxy's access log: what each line says of an answer, and latencies that can be added up."""

from __future__ import annotations

import json
import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable, Dict, Iterator, List, Optional

    Routes = List[List[str]]
    Counts = Dict[str, Any]

# What the site's log_format puts behind `combined`: see drivers/nginx.py.
MARK = b" steersman"
FIELDS = 12
BLOCK = 1 << 18


class Answer:
    """One answer: `first` and `last` are the generations that the link led to as the request came
    and as it had been answered, 0 where the log does not know; times are seconds.

    The request went to the app no later than `passed`, and had come by `begun`.
    """

    __slots__ = (
        "begun",
        "end",
        "first",
        "is_whole",
        "last",
        "passed",
        "route",
        "seconds",
        "sent",
        "status",
    )

    def __init__(self, end: float, took: float, answering: Optional[float], status: int) -> None:
        self.end = end
        self.begun = end - took
        self.seconds = took if answering is None else answering
        self.passed = end if answering is None else end - answering
        self.status = status
        self.sent = 0
        self.is_whole = True
        self.first = self.last = 0
        self.route = ""


def of_nginx(line: bytes) -> Optional[Answer]:
    """Read a line of a site's own format, None if it is no such line.

    nginx writes a quote that a client sends as \\x22: behind the last one all is the site's.
    """
    parts = line[line.rfind(b'"') + 1 :].rstrip(b"\n").split(b"|")
    if len(parts) != FIELDS or parts[0] != MARK:
        return None
    try:
        answer = Answer(float(parts[1]), float(parts[2]), _sum(parts[3]), int(parts[6]))
        answer.sent = int(parts[7])
    except ValueError:
        return None
    answer.is_whole = parts[8] == b"OK"
    answer.first, answer.last = _number(parts[9]), _number(parts[10])
    route = parts[11].decode("ascii", "replace")
    # Without a path there was no route: nginx refused to read the request.
    answer.route = route if "/" in route else ""
    return answer


def _sum(times: bytes) -> Optional[float]:
    """Return the upstream's time; an answer that sends nginx elsewhere has several."""
    if times == b"-":
        return None
    if b" " not in times:
        return float(times)
    return sum(float(t) for t in times.replace(b",", b" ").replace(b":", b" ").split() if t != b"-")


def _number(text: bytes) -> int:
    return int(text) if text.isdigit() and len(text) < 10 else 0


def of_caddy(line: bytes, routes: Routes) -> Optional[Answer]:
    """Read a line of JSON; its route is found among the app's [host, path]."""
    try:
        told = json.loads(line)
        took, request = float(told["duration"]), told["request"]
        answer = Answer(float(told["ts"]), took, None, int(told["status"]))
        answer.sent = int(told["size"])
        answer.route = _route_of(str(request["host"]), str(request["uri"]), routes)
    except (ValueError, KeyError, TypeError, OverflowError, RecursionError):
        return None
    # Caddy has no status where its client went before there was one.
    answer.is_whole = answer.status > 0
    return answer


def _route_of(host: str, uri: str, routes: Routes) -> str:
    name, path = host.partition(":")[0].lower(), uri.partition("?")[0]
    if "%" in path:
        from urllib.parse import unquote

        path = unquote(path)
    wild = "*." + name.partition(".")[2]
    found = ""
    for wanted in (name, wild):
        for at, prefix in routes:
            if at == wanted and path.startswith(prefix) and len(at + prefix) > len(found):
                found = at + prefix
        if any(at == wanted for at, _ in routes):
            break
    return found


def reader(routes: Routes) -> Callable[[bytes], Optional[Answer]]:
    """Return what reads a line, whichever proxy wrote it."""
    return lambda line: of_caddy(line, routes) if line.startswith(b"{") else of_nginx(line)


def bucket_of(seconds: float) -> int:
    """Return the bucket of a latency: those below 32 ms are exact, wider ones within 3 %."""
    ms = min(max(int(seconds * 1000 + 0.5), 0), 1 << 30)
    shift = max(0, ms.bit_length() - 5)
    return shift * 16 + (ms >> shift)


def latency_of(bucket: int) -> float:
    """Return the middle of a bucket, in seconds."""
    if bucket < 32:
        return bucket / 1000.0
    shift = bucket // 16 - 1
    return (((bucket - shift * 16) << shift) + (1 << shift) / 2) / 1000.0


def quantile(latency: Dict[int, int], share: float) -> float:
    """Return the latency that this share of all is not above; 0 of none."""
    rank = share * sum(latency.values())
    below = 0
    for bucket in sorted(latency):
        below += latency[bucket]
        if below >= rank:
            return latency_of(bucket)
    return 0.0


def tally() -> Counts:
    """Return counts of nothing: errors are answers of 500 and above, `cut` those whose client
    went before it had all of its answer."""
    return {"requests": 0, "errors": 0, "cut": 0, "latency": {}}


def add(counts: Counts, answer: Answer) -> None:
    counts["requests"] += 1
    counts["errors"] += answer.status >= 500
    counts["cut"] += not answer.is_whole or answer.status == 499
    if answer.status != 101:  # a WebSocket: it took as long as it lived
        latency: Dict[int, int] = counts["latency"]
        bucket = bucket_of(answer.seconds)
        latency[bucket] = latency.get(bucket, 0) + 1


def told(counts: Counts) -> Counts:
    """Return counts as they are sent: latencies as [[milliseconds, answers]]."""
    latency = [[latency_of(b) * 1000, n] for b, n in sorted(counts["latency"].items())]
    return {**counts, "latency": latency}


def backwards(path: str, since: float, routes: Routes, most: int) -> Iterator[Optional[Answer]]:
    """Yield a log's answers that ended since then, the latest first, over its last rotation.

    At most the last `most` bytes of a file are read: None stands where that is not all.
    """
    for name in (path, path + ".1"):
        try:
            if os.stat(name).st_mtime >= since:
                yield from _backwards_in(name, since, reader(routes), most)
        except FileNotFoundError:
            pass


def _backwards_in(
    path: str, since: float, read: Callable[[bytes], Optional[Answer]], most: int
) -> Iterator[Optional[Answer]]:
    with open(path, "rb") as file:
        end = at = file.seek(0, os.SEEK_END)
        rest = b""
        while at > 0:
            if end - at >= most:
                yield None
                return
            size = min(BLOCK, at)
            at -= size
            file.seek(at)
            lines = (file.read(size) + rest).split(b"\n")
            # No line of ours is as long as this: what is belongs to nobody.
            rest = lines[0] if len(lines[0]) <= BLOCK else b""
            for line in reversed(lines if at == 0 else lines[1:]):
                answer = read(line)
                if answer is None:
                    continue
                # Lines are written in the order of their ends, give or take a moment.
                if answer.end < since - 1:
                    return
                if answer.end >= since:
                    yield answer
