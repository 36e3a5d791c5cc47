"""Measured cut-over: what became of requests while a release took over, by the proxies' logs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping, Sequence

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.release import Answers, CutOver, HostCutOver, Release
from steersman.control.converge import Unhealthy
from steersman.control.hosts import HostLink
from steersman.control.memory import Memory
from steersman.control.outcome import HostOutcome
from steersman.control.report import Reporter
from steersman.control.traffic import Traffic, total, traffic_on
from steersman.planning.steps import Switch

FEW = 20
"""Fewer answers than these say nothing of how slow the slowest are."""


def switched(outcomes: Iterable[HostOutcome]) -> set[str]:
    """Return the hosts whose traffic moved, or may have before their release was found unfit."""
    return {
        outcome.host
        for outcome in outcomes
        if isinstance(outcome.error, Unhealthy)
        or any(isinstance(step, Switch) for step in outcome.steps)
    }


class CutOvers:
    """Tells of each: in an event, to whoever waits, and in the status of the release."""

    def __init__(self, memory: Memory, report: Reporter) -> None:
        self._memory = memory
        self._report = report

    async def tell(
        self,
        app: App,
        release: Release | None,
        links: Sequence[HostLink],
        hosts: Sequence[HostOutcome],
    ) -> None:
        """Say what it meant for requests that `hosts` switched to a release, if any did."""
        moved = switched(hosts)
        if release is None or not moved or not app.spec.routes:
            return
        # Hosts of a canary may have moved before this walk began.
        is_first = release.status.state == "pending"
        asked = [link for link in links if is_first or link.name in moved]
        found = await measure(app, release.spec.number, asked)
        if found is None:
            return
        text = f"release {release.spec.number} took over: {cut_over_text(found)}"
        self._report.said(app.name, text)
        host = found.hosts[0].host if len(found.hosts) == 1 else None
        await self._memory.note("App", app.name, "CutOver", text, host)
        if is_first:
            status = await self._memory.release_status(release)
            changed = status.model_copy(update={"cut_over": found})
            await self._memory.set_release_status(release, changed)


async def measure(app: App, number: int, links: Sequence[HostLink]) -> CutOver | None:
    """Return how requests fared on those of the hosts that release `number` serves.

    None where it serves none of them. A host that cannot say is named, and stops nothing.
    """
    told = await asyncio.gather(*(traffic_on(link, app) for link in links), return_exceptions=True)
    there: dict[str, Traffic] = {}
    unmeasured: list[str] = []
    for link, each in zip(links, told, strict=True):
        if isinstance(each, SteersmanError):
            unmeasured.append(link.name)
        elif isinstance(each, BaseException):
            raise each
        elif each.number == number:
            there[link.name] = each
    return cut_over_of(there, unmeasured) if there or unmeasured else None


def cut_over_of(there: Mapping[str, Traffic], unmeasured: Sequence[str] = ()) -> CutOver:
    """Return the figures of each host, and of all of them together."""
    hosts = tuple(
        HostCutOver(
            host=name,
            old=each.old.answers(),
            new=each.current.answers(),
            unsure=each.unsure.answers(),
        )
        for name, each in sorted(there.items())
    )
    return CutOver(
        old=total(each.old for each in there.values()).answers(),
        new=total(each.current for each in there.values()).answers(),
        unsure=total(each.unsure for each in there.values()).answers(),
        hosts=hosts,
        unmeasured=tuple(sorted(unmeasured)),
    )


def cut_over_text(found: CutOver | HostCutOver) -> str:
    """Return the figures as a sentence, such as

    0 of 1,240 requests failed, p99 +3 ms, errors old 0.1 % new 0.1 %
    """
    sides = (found.old, found.new, found.unsure)
    requests = sum(side.requests for side in sides)
    if not requests:
        text = "no requests, so nothing was measured"
    else:
        failed = sum(side.errors for side in sides)
        parts = [f"{failed:,} of {requests:,} requests failed"]
        parts += [_slower(found.old, found.new), f"errors {_rates(found.old, found.new)}"]
        text = ", ".join(part for part in parts if part)
        if cut := sum(side.cut for side in sides):
            text += f"; the clients of {cut:,} left early"
        if found.unsure.requests:
            text += f"; {found.unsure.requests:,} were under way as it switched"
    if isinstance(found, CutOver) and found.unmeasured:
        text += f"; not measured: {', '.join(found.unmeasured)}"
    return text


def failed_text(found: CutOver | None) -> str:
    """Return how many requests failed, in a word for a table."""
    if found is None:
        return "<none>"
    sides = (found.old, found.new, found.unsure)
    requests = sum(side.requests for side in sides)
    return f"{sum(side.errors for side in sides):,} of {requests:,}" if requests else "no requests"


def _slower(old: Answers, new: Answers) -> str:
    if old.p99 is None or new.p99 is None or min(old.requests, new.requests) < FEW:
        return ""
    return f"p99 {(new.p99 - old.p99) * 1000:+.0f} ms"


def _rates(old: Answers, new: Answers) -> str:
    sides = (("old", old), ("new", new))
    return " ".join(
        f"{name} {side.errors / side.requests * 100:.1f} %" if side.requests else f"{name} none"
        for name, side in sides
    )
