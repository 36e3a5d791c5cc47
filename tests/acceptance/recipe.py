"""One app of a shared host, as a recipe runs it: changed, deployed, loaded and looked at."""

import json
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

from acceptance.steer import Document, Ran, Steer
from acceptance.web import serves
from lab import seen
from lab.commands import wait_until
from lab.host import Host
from load.background import Load

VERSIONS = {"one": "1", "two": "2"}


@dataclass
class Recipe:
    """One app of the shared host; changing its document changes nothing until `apply`."""

    name: str
    host: Host
    steer: Steer
    document: Document

    @property
    def site(self) -> str:
        return f"{self.name}.example.com"

    @property
    def web(self) -> Document:
        web: Document = self.document["spec"]["processes"]["web"]
        return web

    @property
    def env(self) -> Document:
        env: Document = self.document["spec"]["config"]["env"]
        return env

    @property
    def shown(self) -> str:
        """Return the revision that the app will answer with, as its document is now."""
        tag = self.document["spec"]["source"]["git"]["ref"]
        return f"{VERSIONS[tag]}{self.env['MARK']}"

    @property
    def release(self) -> int:
        shown = json.loads(self.steer.run("get", f"app/{self.name}", "-o", "json").out)
        return int(shown["status"]["release"])

    def main_pid(self, unit: str) -> str:
        return self.host.run(["systemctl", "show", "--property=MainPID", "--value", unit]).strip()

    @property
    def instance(self) -> str:
        """Return the unit of its one instance, which may be called after a port."""
        stem = f"steersman-{self.name}.web.g{self.release}@"
        (found,) = [unit for unit in seen.units(self.host) if unit.startswith(stem)]
        return found

    @property
    def switched_at(self) -> float:
        """Return when traffic was led to the generation that it goes to now, in Unix time."""
        return os.lstat(self.host.root / f"run/steersman/{self.name}/web.sock").st_mtime

    def states(self) -> list[str]:
        """Return what each generation of it does, the oldest first."""
        shown = json.loads(self.steer.run("get", "generations", self.name, "-o", "json").out)
        found = sorted((one["spec"]["release"], one["spec"]["state"]) for one in shown["items"])
        return [state for _, state in found]

    def take(self, tag: str) -> None:
        self.document["spec"]["source"]["git"]["ref"] = tag

    def apply(self) -> Ran:
        return self.steer.apply(self.document)

    @contextmanager
    def applying(self) -> Iterator[None]:
        """Apply; the block runs once the new generation serves, and the deploy ends after it."""
        with ThreadPoolExecutor() as pool:
            ran = pool.submit(self.apply)
            wait_until(lambda: serves(self.host, self.site, self.shown), "the switch")
            yield
            ran.result()

    def read(self, book: str) -> list[str]:
        """Return the lines that the app wrote down."""
        path = self.host.root / f"srv/steersman/apps/{self.name}/shared/{book}"
        return path.read_text().splitlines() if path.exists() else []

    def load(self, rate: float) -> Load:
        url = f"http://{self.host.address}/"
        return Load([url], host=self.site, method="MIX", rate=rate)
