"""The release command: once for each release, on one host, before any traffic moves."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Any

from steersman.api.meta import Condition, is_true, set_condition
from steersman.api.release import Release
from steersman.control.converge import Unhealthy, converge
from steersman.control.hosts import HostLink
from steersman.control.memory import Memory
from steersman.control.report import Reporter
from steersman.control.target import Wanted, app_target
from steersman.planning.app import plan_prepare
from steersman.planning.seen import HostSeen
from steersman.planning.steps import Step
from steersman.transport.errors import printable

DONE = "ReleaseCommandDone"
SHOWN = 20


async def run_release_command(
    wanted: Wanted, link: HostLink, memory: Memory, report: Reporter
) -> None:
    """Prepare the release on `link` and run its command there, unless that was done before.

    Raises Unhealthy with the command's last lines when it fails. Its success is remembered with
    the release; a controller killed between the two runs it again.
    """
    release, app = wanted.release, wanted.app.name
    command = release.spec.template.release
    if command is None or is_true(release.status.conditions, DONE):
        return

    def prepare(seen: HostSeen) -> Sequence[Step]:
        return plan_prepare(app_target(wanted, link.host.spec, link.facts, seen), seen)

    await converge(link, app, prepare, report)
    report.said(app, f"release command on {link.name}: {' '.join(command.command)}")
    lines: list[str] = []
    try:
        async with asyncio.timeout(command.timeout):
            code = await _execute(wanted, link, command.command, lines, report)
    except TimeoutError:
        why = f"its release command did not end within {command.timeout:g} s"
        raise Unhealthy(link.name, app, why, lines[-SHOWN:]) from None
    if code != 0:
        why = f"its release command exited with {code}"
        raise Unhealthy(link.name, app, why, lines[-SHOWN:])
    await _remember(release, memory)


async def _execute(
    wanted: Wanted, link: HostLink, argv: Sequence[str], lines: list[str], report: Reporter
) -> int:
    args: dict[str, Any] = {
        "app": wanted.app.name,
        "release": wanted.release_name,
        "envs": [str(wanted.release.spec.number)],
        "user": wanted.app.user,
    }
    code, partial = 1, b""
    async with aclosing(link.link.stream("exec", argv=list(argv), **args)) as replies:
        async for reply in replies:
            *whole, partial = (partial + reply.body).split(b"\n")
            for raw in whole:
                lines.append(_shown(raw, link))
                report.said(wanted.app.name, lines[-1])
            code = int(reply.header.get("exit", code))
    if partial:
        lines.append(_shown(partial, link))
    return code


def _shown(line: bytes, link: HostLink) -> str:
    # Masked first: what is printable is cut to a length.
    return printable(link.masks.text(line.decode("utf-8", "backslashreplace")))


async def _remember(release: Release, memory: Memory) -> None:
    done = Condition(type=DONE, status="True", last_transition_time=datetime.now(UTC))
    conditions = set_condition(release.status.conditions, done)
    status = release.status.model_copy(update={"conditions": conditions})
    await memory.set_release_status(release, status)
