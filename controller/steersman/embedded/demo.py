"""What the demo shows, one finding after the other, each measured from outside."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections import Counter
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from pathlib import Path

import yaml

from steersman.api.objects import dump_object
from steersman.control.apply import Controller
from steersman.control.outcome import Outcome
from steersman.embedded.counting import Answer, Connection, Count, counted
from steersman.embedded.host import EmbeddedHost
from steersman.embedded.repository import Repository
from steersman.manifests import load

APP = "guest-book"
INSTANCES = 2
SECONDS_TO_HEAL = 20.0
_APP = """\
apiVersion: steersman/v1
kind: App
metadata: {{name: {app}}}
spec:
  source: {{git: {{url: "file://{origin}", ref: main}}}}
  processes:
    web:
      command: uvicorn main:app --no-access-log
      count: {instances}
      port: http
      health: {{http: /healthz}}
  routes:
    - {{host: localhost, path: /, process: web}}
    - {{host: localhost, path: /static/, directory: static}}
"""


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that was tried and whether it worked, in a few lines."""

    title: str
    lines: tuple[str, ...]
    is_good: bool


class Demo:
    """The story, in the order in which it must be told."""

    def __init__(self, controller: Controller, host: EmbeddedHost, folder: Path) -> None:
        self._controller = controller
        self._host = host
        self._folder = folder
        self._repository = Repository(folder)
        self._manifest = folder / "guest-book.yaml"
        self._book = Path(host.host.spec.root, "apps", APP, "shared", "book.txt")

    async def findings(self) -> AsyncGenerator[Finding]:
        """Yield what was found; the first that is not good is the last."""
        for part in (self._deploy, self._again, self._switch, self._heal, self._roll_back):
            finding = await part()
            yield finding
            if not finding.is_good:
                return

    async def _deploy(self) -> Finding:
        commit = await self._repository.create()
        host = yaml.safe_dump(dump_object(self._host.host))
        text = _APP.format(app=APP, origin=self._repository.origin, instances=INSTANCES)
        self._manifest.write_text(f"{host}---\n{text}")
        outcome, seconds = await self._apply()
        if not outcome.is_good:
            return _failed("Deploy", outcome)
        answer = await self._ask("GET", "/")
        css = await self._ask("GET", "/static/book.css")
        root = Path(self._host.host.spec.root)
        wheels = len(list(root.glob("apps/*/venvs/*/lib/python*/site-packages/*.dist-info")))
        return Finding(
            "Deploy",
            (
                f"`steer apply`: commit {commit[:7]} of a git repository, {wheels} packages from"
                f" PyPI, {INSTANCES} processes;",
                f"{_steps(outcome)} in {seconds:.1f} s; release"
                f" {answer.headers.get('x-release')} answers {answer.status},"
                f" its stylesheet {css.status}",
            ),
            answer.status == css.status == 200,
        )

    async def _again(self) -> Finding:
        outcome, seconds = await self._apply()
        steps = sum(len(host.steps) for host in outcome.hosts)
        line = f"`steer apply`: {steps or 'nothing'} to do, in {seconds:.2f} s"
        return Finding("Again", (line,), outcome.is_good and steps == 0)

    async def _switch(self) -> Finding:
        commit = await self._repository.change("Say welcome", '"Hello"', '"Welcome back"')
        async with counted(self._host.port) as count:
            outcome, seconds = await self._apply()
        if not outcome.is_good:
            return _failed("Push", outcome)
        page = (await self._ask("GET", "/")).body.decode()
        line = f"`git push` of commit {commit[:7]}, `steer apply` under load, in {seconds:.1f} s"
        is_new = "Welcome back" in page
        return self._switched("Push", line, count, is_new)

    def _switched(self, title: str, line: str, count: Count, is_new: bool) -> Finding:
        notes = Counter(self._book.read_text().splitlines())
        once = [note for note in count.kept if notes[note] == 1]
        shares = sorted(count.answered.items())
        releases = ", then ".join(f"{n} by release {name}" for name, n in shares)
        lines = [
            line,
            f"{count.gets} GETs and {count.posts} POSTs on {count.connections} kept connections,"
            f" none retried: {len(count.lost)} lost",
            f"answered {releases}, the slowest after {count.slowest * 1000:.0f} ms",
            f"{len(once)} of {len(count.kept)} notes that were acknowledged are in the book, once",
            *count.lost[:3],
        ]
        were_both = len(count.answered) == 2
        is_good = is_new and were_both and not count.lost and len(once) == len(count.kept) > 0
        return Finding(title, tuple(lines), is_good)

    async def _heal(self) -> Finding:
        before = await self._processes()
        victim = min(before)
        async with counted(self._host.port, rate=100) as count:
            os.kill(victim, signal.SIGKILL)
            began = time.monotonic()
            now = before
            while len(now - before) == 0 and time.monotonic() - began < SECONDS_TO_HEAL:
                now = await self._processes()
            seconds = time.monotonic() - began
        new = now - before
        if not new:
            line = f"killed process {victim}, and no other came within {seconds:.0f} s"
            return Finding("Kill", (line,), is_good=False)
        return Finding(
            "Kill",
            (
                f"`kill -9 {victim}`: {min(new)} answers in its place after {seconds:.1f} s",
                f"meanwhile {count.sent - len(count.lost)} of {count.sent} requests were answered",
            ),
            is_good=count.sent > len(count.lost),
        )

    async def _processes(self) -> set[int]:
        """Return the pids that answer now, asked often enough that each likely has."""
        answers = await asyncio.gather(
            *(self._ask("GET", "/healthz") for _ in range(8)), return_exceptions=True
        )
        good = [a for a in answers if isinstance(a, Answer) and a.status == 200]
        return {int(answer.headers["x-process"]) for answer in good}

    async def _roll_back(self) -> Finding:
        async with counted(self._host.port) as count:
            began = time.monotonic()
            outcome = await self._controller.steering.undo(APP, None)
            seconds = time.monotonic() - began
        if not outcome.is_good:
            return _failed("Undo", outcome)
        page = (await self._ask("GET", "/")).body.decode()
        line = f"`steer rollout undo` under load, in {seconds:.1f} s, with nothing built"
        return self._switched("Undo", line, count, "<h1>Hello</h1>" in page)

    async def _apply(self) -> tuple[Outcome, float]:
        began = time.monotonic()
        applied = await self._controller.apply(load([self._manifest]).objects)
        return applied.outcomes[0], time.monotonic() - began

    async def _ask(self, method: str, path: str) -> Answer:
        connection = Connection(self._host.port)
        try:
            return await connection.ask(method, path)
        finally:
            await connection.close()


def _steps(outcome: Outcome) -> str:
    return f"{sum(len(host.steps) for host in outcome.hosts)} steps"


def _failed(title: str, outcome: Outcome) -> Finding:
    errors = [outcome.error, *(host.error for host in outcome.hosts)]
    lines = [str(error) for error in dict.fromkeys(errors) if error is not None]
    return Finding(title, tuple(lines), is_good=False)
