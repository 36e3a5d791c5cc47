"""What people ask of an app's releases: go on, wait, go back, start anew, be more."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from datetime import UTC, datetime

from steersman.api.errors import SteersmanError
from steersman.control.marks import is_pinned
from steersman.control.memory import Memory
from steersman.control.outcome import Outcome
from steersman.control.release import (
    ABORTED,
    PAUSED,
    PINNED,
    PROMOTED,
    RESTARTED_AT,
    SCALE,
    ContractRan,
    contract_after,
    counts_of,
    find_release,
    last_good,
)
from steersman.control.session import whoever
from steersman.control.wishes import passed_pauses

ALL_PAUSES = 10_000

Reconcile = Callable[[str], Awaitable[Outcome]]


class Steering:
    """The verbs of `steer rollout` and `steer scale`.

    `reconcile` brings an app to what it asks for now; `go_on` to its newest release, even if the
    branch that it came from has moved since.
    """

    def __init__(self, memory: Memory, reconcile: Reconcile, go_on: Reconcile) -> None:
        self._memory = memory
        self._reconcile = reconcile
        self._go_on = go_on

    async def restart(self, name: str) -> Outcome:
        """Start every process anew, as a new release with the same content."""
        now = datetime.now(UTC).isoformat(timespec="seconds")
        pinned = is_pinned(await self._memory.app(name))
        # An app that went back stays there: it is the older release that starts anew.
        mark = {RESTARTED_AT: now} if pinned is None else {PINNED: f"{pinned}@{now}"}
        await self._memory.annotate(name, mark)
        return await self._reconcile(name)

    async def pause(self, name: str) -> None:
        """Let rollouts of the app stop before their next hosts."""
        await self._memory.annotate(name, {PAUSED: "true"})
        await self._memory.note("App", name, "RolloutPaused", "paused by `steer rollout pause`")

    async def resume(self, name: str) -> Outcome:
        """Go on with the app's rollout where it was paused."""
        app = await self._memory.annotate(name, {PAUSED: None})
        if app.spec.rollout.paused:
            raise SteersmanError(
                f"app {name} is paused by its manifest; take `paused: true` out of its"
                " spec.rollout and apply it"
            )
        return await self._go_on(name)

    async def promote(self, name: str, *, is_full: bool) -> Outcome:
        """End the pause that the app's rollout is in, or all of its pauses."""
        app, releases = await self._memory.app(name), await self._memory.releases(name)
        if not releases or releases[-1].status.state != "pending":
            raise SteersmanError(
                f"app {name} has no rollout under way; `steer rollout status app/{name}` tells more"
            )
        number = releases[-1].spec.number
        passed = ALL_PAUSES if is_full else passed_pauses(app, number) + 1
        await self._memory.annotate(name, {PROMOTED: f"{number}:{passed}"})
        # A steer that waits in the pause goes on by itself; we see to it once it has done so.
        return await self._go_on(name)

    async def abort(self, name: str) -> Outcome:
        """Give up the release that is being rolled out, and go back to the last good one."""
        releases = await self._memory.releases(name)
        if not releases or releases[-1].status.state != "pending":
            raise SteersmanError(
                f"app {name} has no rollout under way; `steer rollout undo app/{name}` goes back"
                " from one that is done"
            )
        await self._memory.annotate(name, {ABORTED: f"{releases[-1].spec.number} {whoever()}"})
        return await self._go_on(name)

    async def undo(self, name: str, to: int | None, *, is_forced: bool = False) -> Outcome:
        """Go back to release `to`, or to the last good one before the one that serves.

        Raises ContractRan when that one works no more, unless `is_forced`.
        """
        app, releases = await self._memory.app(name), await self._memory.releases(name)
        serving = app.status.release or (releases[-1].spec.number if releases else 0)
        if to is None:
            now = next((r for r in releases if r.spec.number == serving), None)
            older = [r for r in releases if now is None or r.spec.digest != now.spec.digest]
            previous = last_good(older, serving)
            if previous is None:
                raise SteersmanError(
                    f"app {name} has no earlier good release to go back to;"
                    f" `steer rollout history app/{name}` lists what there is"
                )
            to = previous.spec.number
        contract = contract_after(releases, find_release(name, to, releases))
        if contract is not None and not is_forced:
            raise ContractRan(contract, to)
        await self._memory.annotate(name, {PINNED: str(to)})
        await self._memory.note("App", name, "RolledBack", f"going back to release {to}")
        return await self._reconcile(name)

    async def scale(self, name: str, counts: Mapping[str, int]) -> Outcome:
        """Set how many instances of processes each host runs."""
        app, releases = await self._memory.app(name), await self._memory.releases(name)
        known = set(app.spec.processes)
        if not known and releases:
            known = set(releases[-1].spec.template.processes)
        for process in counts:
            if process not in known:
                raise SteersmanError(
                    f"app {name} has no process {process};"
                    f" it has {', '.join(sorted(known)) or 'none yet'}"
                )
        if app.spec.processes:
            await self._memory.set_counts(app, counts)
        else:
            merged = {**(counts_of(app, dict.fromkeys(known)) if known else {}), **counts}
            text = " ".join(f"{process}={count}" for process, count in sorted(merged.items()))
            await self._memory.annotate(name, {SCALE: text})
        return await self._reconcile(name)
