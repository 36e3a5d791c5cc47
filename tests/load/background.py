"""The load as a process of its own, so that it shares no event loop with the test."""

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from load.tally import Report

_TESTS = Path(__file__).parents[1]


class Load:
    """Load that runs while a test does something else.

        with Load(["http://10.1.2.11/"], host="shop.test", method="MIX") as load:
            deploy()
        assert load.report.failed == 0, load.report.examples

    `report` is there after the block. Options are those of `python -m load`.
    """

    def __init__(
        self,
        urls: Sequence[str],
        *,
        host: str | None = None,
        method: str = "GET",
        rate: float = 500.0,
        connections: int = 24,
        fresh: bool = False,
        timeout: float = 10.0,
        post_path: str = "/orders",
    ) -> None:
        argv = [f"--url={url}" for url in urls]
        argv += [f"--method={method}", f"--rate={rate}", f"--connections={connections}"]
        argv += [f"--timeout={timeout}", f"--post-path={post_path}", "--until-eof-on-stdin"]
        argv += ["--fresh"] if fresh else []
        argv += [f"--host-header={host}"] if host is not None else []
        self._argv = [sys.executable, "-m", "load", *argv]
        self._process: subprocess.Popen[bytes] | None = None
        self._report: Report | None = None

    @property
    def report(self) -> Report:
        if self._report is None:
            raise RuntimeError("the load has not been stopped yet: read its report after `stop()`")
        return self._report

    def start(self) -> None:
        """Return when the first request is about to be sent."""
        pipe = subprocess.PIPE
        # Unbuffered, or a complaint that comes with "started" is read ahead, and lost to `stop`.
        self._process = subprocess.Popen(
            self._argv, cwd=_TESTS, stdin=pipe, stdout=pipe, stderr=pipe, bufsize=0
        )
        if self._process.stderr is None or self._process.stderr.readline() != b"started\n":
            self.stop()

    def stop(self) -> Report:
        """Let the requests under way end, and return the report."""
        if self._process is None:
            raise RuntimeError("the load was not started: call `start()` first")
        process, self._process = self._process, None
        with process:
            printed, complaint = process.communicate(timeout=60)
        if process.returncode != 0:
            said = complaint.decode(errors="replace")
            raise RuntimeError(f"the load client ended with {process.returncode}: {said}")
        self._report = Report(**json.loads(printed))
        return self._report

    def __enter__(self) -> "Load":
        self.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()
