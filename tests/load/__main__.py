"""`python -m load --url …`: sends until end of file on stdin (or `--seconds`), prints one JSON."""

import argparse
import asyncio
import json
import signal
import sys

from load.client import Plan, run
from load.tally import Report


def main() -> None:
    chosen = _arguments()
    plan = Plan(
        urls=chosen.url,
        host=chosen.host_header,
        method=chosen.method,
        post_path=chosen.post_path,
        rate=chosen.rate,
        connections=chosen.connections,
        fresh=chosen.fresh,
        timeout=chosen.timeout,
    )
    report = asyncio.run(_run(plan, chosen.seconds, chosen.until_eof_on_stdin))
    print(json.dumps(report.as_dict()))


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m load", description=__doc__)
    parser.add_argument("--url", action="append", required=True, help="may be given many times")
    parser.add_argument("--host-header")
    parser.add_argument("--method", choices=["GET", "POST", "MIX"], default="GET")
    parser.add_argument("--post-path", default="/orders")
    parser.add_argument("--rate", type=float, default=500.0, help="requests per second, in total")
    parser.add_argument("--connections", type=int, default=24)
    parser.add_argument("--fresh", action="store_true", help="a new connection for each request")
    parser.add_argument("--timeout", type=float, default=10.0)
    until = parser.add_mutually_exclusive_group(required=True)
    until.add_argument("--seconds", type=float)
    until.add_argument("--until-eof-on-stdin", action="store_true")
    return parser.parse_args()


async def _run(plan: Plan, seconds: float | None, until_eof: bool) -> Report:
    loop = asyncio.get_running_loop()
    stop = asyncio.Event()
    for name in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(name, stop.set)
    if seconds is not None:
        loop.call_later(seconds, stop.set)
    if until_eof:
        await loop.connect_read_pipe(lambda: _StopAtEnd(stop), sys.stdin)
    sys.stderr.write("started\n")
    sys.stderr.flush()
    return await run(plan, stop)


class _StopAtEnd(asyncio.Protocol):
    def __init__(self, stop: asyncio.Event) -> None:
        self._stop = stop

    def eof_received(self) -> None:
        self._stop.set()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop.set()


if __name__ == "__main__":
    main()
