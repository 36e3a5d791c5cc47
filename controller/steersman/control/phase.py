"""The release command: once for each release, on one host, before any traffic moves."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping, Sequence
from contextlib import aclosing
from datetime import UTC, datetime
from typing import Literal

from steersman.api.app import ReleaseCommand
from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.api.meta import Condition, find_condition, is_true, set_condition
from steersman.api.release import Release
from steersman.control import failpoints
from steersman.control.converge import REOPENS, Unhealthy, converge
from steersman.control.hosts import HostLink
from steersman.control.memory import Memory
from steersman.control.release import COMMAND_DONE, contract_after
from steersman.control.report import Reporter
from steersman.control.statsd import once_envs
from steersman.control.target import Wanted, app_target
from steersman.drivers.systemd import one_off
from steersman.planning.app import plan_prepare
from steersman.planning.seen import HostSeen
from steersman.planning.steps import Step
from steersman.transport.errors import HandError, printable

SHOWN = 20
KEPT = 500
FAILPOINT = "release-command"
# What the hand says of a program that is not there or cannot be run: the release's own fault.
_OWN_FAULT = ("missing-program", "command-failed")


class ElsewhereBegun(SteersmanError):
    """The command began on a host that does not answer now: only that host knows how it ended."""

    def __init__(self, app: str, host: str) -> None:
        super().__init__(
            f"app {app}: its release command was begun on host {host}, which does not answer;"
            " bring that host back and apply again, or make another release with"
            f" `steer rollout restart app/{app}`"
        )


class StaysForward(SteersmanError):
    """A host that serves a rejected release and cannot go back."""

    def __init__(self, host: str, contract: Release, previous: Release) -> None:
        super().__init__(
            f"{contract.spec.app} on {host} stays as it is: release {previous.spec.number} does not"
            f" work since the command of release {contract.spec.number} ran (`contract: true`);"
            " mend the app and apply again"
        )
        self.host = host


async def part_by_contract(
    previous: Release, releases: Sequence[Release], links: Sequence[HostLink]
) -> tuple[list[HostLink], list[StaysForward]]:
    """Return the hosts that may fall back to `previous`, and why the others may not.

    Where traffic has not moved yet `previous` serves on; where it has, and a contract ran, going
    back would bring code that does not work any more.
    """
    contract = contract_after(releases, previous)
    if contract is None:
        return list(links), []
    back, staying = [], []
    for link in links:
        serving = (await link.observe()).app(contract.spec.app).serving_number
        if serving is not None and serving >= contract.spec.number:
            staying.append(StaysForward(link.name, contract, previous))
        else:
            back.append(link)
    return back, staying


async def run_release_command(
    wanted: Mapping[str, Wanted], links: Sequence[HostLink], memory: Memory, report: Reporter
) -> None:
    """Prepare the release on one of `links` and run its command there, unless that was done before.

    It runs apart from us: a controller that dies and comes back finds it again, on the host that it
    was begun on, or its result, and does not run it twice. Raises Unhealthy with its last lines
    when it fails, takes too long or was lost with its host's reboot.
    """
    release = wanted[links[0].name].release
    command = release.spec.template.release
    if command is None or is_true(release.status.conditions, COMMAND_DONE):
        return
    link = _host(release, links)
    mine, app = wanted[link.name], release.spec.app

    def prepare(seen: HostSeen) -> Sequence[Step]:
        return plan_prepare(app_target(mine, link.host.spec, link.facts, seen), seen)

    await converge(link, app, prepare, report)
    await _remember(release, memory, "False", link.name)
    report.said(app, f"release command on {link.name}: {' '.join(command.command)}")
    phase = _Phase(mine, link, report)
    try:
        code = await phase.run(command)
    finally:
        await _remember(release, memory, "False", link.name, phase.lines)
    failpoints.reached("after", FAILPOINT)
    why = _fault(code, command.timeout, is_late=phase.is_late)
    if why:
        raise Unhealthy(link.name, app, why, list(phase.lines)[-SHOWN:])
    await _remember(release, memory, "True", link.name)


def _host(release: Release, links: Sequence[HostLink]) -> HostLink:
    begun = find_condition(release.status.conditions, COMMAND_DONE)
    if begun is None:
        return links[0]
    for link in links:
        if link.name == begun.message:
            return link
    raise ElsewhereBegun(release.spec.app, begun.message)


def _fault(code: int | None, timeout: float, *, is_late: bool) -> str:
    if code is None:
        return (
            "its release command was lost with a reboot of the host, and whether it did its work"
            " is not known; look at what it changes, then run it anew by another release, or say"
            " `release: {idempotent: true}` if it may always be run again"
        )
    if is_late:
        return f"its release command did not end within {timeout:g} s and was killed"
    return f"its release command exited with {code}" if code else ""


class _Phase:
    """One watching of the command on its host, through links that break."""

    def __init__(self, wanted: Wanted, link: HostLink, report: Reporter) -> None:
        self._wanted = wanted
        self._link = link
        self._report = report
        self._told = 0
        self.lines: deque[str] = deque(maxlen=KEPT)
        self.is_late = False

    async def run(self, command: ReleaseCommand) -> int | None:
        """Return its exit code, or None if nobody knows."""
        for _ in range(REOPENS):
            try:
                return await self._watch(command)
            except HostUnreachable:
                await self._link.reopen()
            except HandError as error:
                if error.kind not in _OWN_FAULT:
                    raise
                raise Unhealthy(
                    self._link.name, self._wanted.app.name, error.message, list(self.lines)
                ) from error
        return await self._watch(command)

    async def _watch(self, command: ReleaseCommand) -> int | None:
        app, link, spec = self._wanted.app, self._link, self._wanted.release.spec
        shared = {**spec.template.config.env, **self._wanted.secrets}
        replies = link.link.stream(
            "release_phase",
            epoch=await link.epoch(),
            app=app.name,
            release=self._wanted.release_name,
            argv=list(command.command),
            user=app.user,
            envs=[str(spec.number), *once_envs(spec, shared)],
            sandbox=one_off(link.layout, app.name),
            timeout=command.timeout,
            idempotent=command.idempotent,
        )
        code: int | None = None
        number = 0
        async with aclosing(replies):
            async for reply in replies:
                if "line" in reply.header:
                    number += 1
                    self._say(number, str(reply.header["line"]))
                elif "exit" in reply.header:
                    code = None if reply.header["exit"] is None else int(reply.header["exit"])
                    self.is_late = reply.header.get("timed_out") is True
        return code

    def _say(self, number: int, raw: str) -> None:
        """Show a line, unless a link before this one brought it."""
        if number > self._told:
            self._told = number
            # Masked first: what is printable is cut to a length.
            self.lines.append(printable(self._link.masks.text(raw)))
            self._report.said(self._wanted.app.name, f"release command | {self.lines[-1]}")
            failpoints.reached("during", FAILPOINT)


async def _remember(
    release: Release,
    memory: Memory,
    is_done: Literal["True", "False"],
    host: str,
    lines: Sequence[str] | None = None,
) -> None:
    """Remember where the command runs, whether it succeeded, and what it wrote."""
    status = await memory.release_status(release)
    done = Condition(
        type=COMMAND_DONE, status=is_done, message=host, last_transition_time=datetime.now(UTC)
    )
    changed: dict[str, object] = {"conditions": set_condition(status.conditions, done)}
    if lines is not None:
        changed["output"] = tuple(lines)
    await memory.set_release_status(release, status.model_copy(update=changed))
