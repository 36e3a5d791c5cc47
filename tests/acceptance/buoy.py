"""A small app on hosts of its own, rolled out again and again while something goes wrong."""

from __future__ import annotations

import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from acceptance.endstate import end_state
from acceptance.pier import Pier
from acceptance.steer import Document, Ran, app
from load.background import Load
from load.tally import Report

# It starts in no time and needs no wheel: most of a round is then what is tested.
_SERVER = Path(__file__).parents[1] / "laws/app/serve.py"
CODE = _SERVER.read_text().replace(
    'os.environ["STEER_RELEASE"].encode()', 'open("VERSION", "rb").read().strip()'
)
STRATEGIES: dict[str, dict[str, Any]] = {
    "RollingUpdate": {"minReadySeconds": 1},
    "Canary": {"canary": {"steps": [{"hosts": 1}, {"pause": {"duration": "1s"}}]}},
    "BlueGreen": {},
    "Recreate": {},
}


@dataclass
class Buoy(Pier):
    """One app on a few hosts. `wanted` is what an undisturbed rollout leaves on each."""

    strategy: str = "RollingUpdate"
    rate: float = 25
    wanted: list[Counter[str]] = field(default_factory=list)
    reports: list[Report] = field(default_factory=list)

    def manifest(self, **rollout: Any) -> Document:
        health = {"http": "/", "interval": "200ms", "failures": 2}
        web = {"command": "python serve.py $LISTEN_FDS", "port": "http", "health": health}
        web["stop"] = {"timeout": "5s"}
        strategy = {"strategy": self.strategy, **STRATEGIES[self.strategy]}
        return app(
            "pier",
            self.repo,
            processes={"web": web},
            rollout={**strategy, **rollout},
            history=1,
            placement={"hosts": [host.name for host in self.hosts]},
        )

    def write(self, **rollout: Any) -> str:
        if self.reached is None:
            self.reached = self.steer.hosts(*self.hosts)
        return super().write(**rollout)

    def commit(self, code: str = CODE) -> None:
        self.version += 1
        self.repo.commit({"VERSION": f"{self.version}\n", "serve.py": code})

    def launch(self) -> None:
        """Deploy twice, so that there is a release to go back to, and learn the end state."""
        for _ in range(2):
            self.commit()
            self.apply()
        self.wanted = [end_state(host) for host in self.hosts]

    def undo(self, to: int, env: Mapping[str, str] | None = None) -> Ran:
        word = f"--to-revision={to}"
        return self.steer.run("rollout", "undo", "app/pier", word, expect=None, env=env)

    def prove(self, where: str, version: int | None = None) -> None:
        """Fail unless the version serves everywhere and nothing else is left, nor left to do."""
        serving = self.serving
        assert serving == [version or self.version] * len(self.hosts), f"{where}: {serving}"
        for host, wanted in zip(self.hosts, self.wanted, strict=True):
            found = end_state(host)
            more, less = found - wanted, wanted - found
            assert found == wanted, f"{where}: {host.name} has more {more}, less {less}"
        left = self.steer.run("diff", "app/pier", expect=None)
        assert left.code == 0, f"{where}: {left.said}"

    @contextmanager
    def under_load(self, where: str) -> Iterator[None]:
        """Keep requests coming; not one may fail unless the strategy itself is down meanwhile."""
        urls = [f"http://{host.address}/" for host in self.hosts]
        load = Load(urls, host="pier.example.com", method="MIX", rate=self.rate, connections=4)
        with load:
            yield
        if self.strategy != "Recreate":
            assert load.report.failed == 0, f"{where}: {load.report.examples}"
            self.reports.append(load.report)

    @property
    def requests(self) -> int:
        return sum(report.ok for report in self.reports)

    @property
    def newest(self) -> int:
        """The number of the newest release."""
        return int(self.rollout("history", "app/pier").out.splitlines()[-1].split()[0])


def read_lines(applying: subprocess.Popen[str], count: int) -> int:
    """Let it say `count` lines; return how many it said, fewer at its end."""
    if applying.stdout is None:
        raise AssertionError("its output is not read")
    return sum(1 for _ in range(count) if applying.stdout.readline())
