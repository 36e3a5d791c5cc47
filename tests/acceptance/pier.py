"""One app on all of a lab's hosts, and a person who rolls it out, whatever happens meanwhile."""

import re
import subprocess
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from acceptance.steer import PULSE, Document, Ran, Repo, Steer, app
from acceptance.web import get
from lab import seen
from lab.host import Host
from load.background import Load

SITE = "pier.example.com"
GOOD = (PULSE / "app.py").read_text()
BROKEN = "/opt/broken"
# Unhealthy on a host that has the file: one release that fails on chosen hosts only.
PICKY = GOOD.replace(
    "    body = sent or",
    f'    if environ["PATH_INFO"] == "/healthz" and os.path.exists("{BROKEN}"):\n'
    '        start_response("500 Broken", [("Content-Length", "0")])\n'
    "        return []\n    body = sent or",
)
FAULTY = GOOD.replace(
    "    body = sent or",
    '    if environ["PATH_INFO"] != "/healthz":\n'
    '        start_response("500 Faulty", [("Content-Length", "0")])\n'
    "        return []\n    body = sent or",
)
MUTE = 'import time\nprint("becalmed", flush=True)\ntime.sleep(3600)\n'
CANARY: dict[str, Any] = {"strategy": "Canary", "canary": {"steps": [{"hosts": 1}, {"pause": {}}]}}


@dataclass
class Pier:
    """One app on all three hosts, and the person who rolls it out."""

    steer: Steer
    hosts: list[Host]
    repo: Repo
    version: int = 0
    reached: list[Document] | None = None
    """The Host manifests, if not those that reach the hosts straight."""

    def manifest(self, **rollout: Any) -> Document:
        health = {"http": "/healthz", "interval": "1s", "failures": 2}
        web = {
            "command": "gunicorn app:app --timeout 3600",
            "port": "http",
            "health": health,
            # One that hangs takes all of it, when it is stopped.
            "stop": {"timeout": "3s"},
        }
        return app("pier", self.repo, processes={"web": web}, rollout=rollout)

    def commit(self, code: str = GOOD) -> None:
        self.version += 1
        self.repo.commit({"VERSION": f"{self.version}\n", "app.py": code})

    def release(self, *, expect: int = 0, code: str = GOOD, **rollout: Any) -> Ran:
        """Apply a new commit; return how that ended."""
        self.commit(code)
        return self.apply(expect=expect, **rollout)

    def apply(
        self, *, expect: int | None = 0, env: Mapping[str, str] | None = None, **rollout: Any
    ) -> Ran:
        file = self.write(**rollout)
        return self.steer.run("apply", "-f", file, expect=expect, env=env)

    def write(self, **rollout: Any) -> str:
        """Write the manifests; return the file's path for `-f`."""
        reached = self.reached or self.steer.hosts()
        return self.steer.write("pier.yaml", *reached, self.manifest(**rollout))

    def rollout(self, *args: str, expect: int = 0) -> Ran:
        return self.steer.run("rollout", *args, expect=expect)

    @property
    def serving(self) -> list[int]:
        """The versions that the hosts answer with."""
        return [int(get(host, SITE).revision) for host in self.hosts]

    def next_unit(self) -> str:
        """Return the unit that the next release will start."""
        rows = self.rollout("history", "app/pier").out.splitlines()[2:]
        return f"steersman-pier.web.g{1 + int(rows[-1].split()[0])}@1.service"

    def load(self) -> Load:
        urls = [f"http://{host.address}/" for host in self.hosts]
        return Load(urls, host=SITE, method="MIX", rate=90, connections=6)

    def prove(self, where: str) -> None:
        """Fail unless the newest version runs on every host, alone, with nothing left to do."""
        assert self.serving == [self.version] * len(self.hosts), where
        left = self.steer.run("diff", "app/pier", expect=None)
        assert left.code == 0, f"{where}: {left.said}"
        for host in self.hosts:
            numbers = set(re.findall(r"steersman-pier\.web\.g\d+", " ".join(seen.units(host))))
            assert len(numbers) == 1, f"{where}: {host.name} runs {sorted(numbers)}"

    def started(self, *args: str, env: Mapping[str, str] | None = None) -> "subprocess.Popen[str]":
        return self.steer.started(*args, env=env)
