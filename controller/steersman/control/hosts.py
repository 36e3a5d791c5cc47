"""One connected host: observed, changed step by step, and known by its facts."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Mapping, Sequence
from contextlib import aclosing, suppress
from functools import partial
from pathlib import Path
from typing import Any

from steersman.api.errors import HostUnreachable
from steersman.api.host import Host
from steersman.api.mask import Masks
from steersman.control import failpoints
from steersman.control.report import Reporter
from steersman.control.room import drop, make_room
from steersman.control.turns import Turn
from steersman.drivers.hosts import facts_of, layout_of
from steersman.drivers.model import Facts, Layout
from steersman.planning.seen import BadAnswer, HostSeen, parse_seen
from steersman.planning.steps import Step, Upload
from steersman.transport.blobs import batches, put_blob, put_blobs
from steersman.transport.errors import HandError, ProtocolError
from steersman.transport.frames import Reply
from steersman.transport.link import Link
from steersman.transport.target import Target

# Uploads share one connection; more at once only helps while blobs are small.
UPLOADS = 16


def target_of(host: Host, hosts: Mapping[str, Host], *, use_ssh_config: bool = True) -> Target:
    """Return how to reach `host`; a jump that names another Host takes that one's settings."""
    return _target(host, hosts, use_ssh_config, frozenset())


def _target(
    host: Host, hosts: Mapping[str, Host], use_ssh_config: bool, passed: frozenset[str]
) -> Target:
    spec = host.spec
    jump: Target | None = None
    if spec.jump is not None and spec.jump in hosts and spec.jump not in passed:
        over = hosts[spec.jump]
        jump = _target(over, hosts, use_ssh_config, passed | {host.name})
    elif spec.jump is not None:
        user, _, rest = spec.jump.rpartition("@")
        address, _, port = rest.rpartition(":") if ":" in rest else (rest, "", "")
        jump = Target(
            name=spec.jump,
            address=address.strip("[]"),
            port=int(port) if port else None,
            user=user or None,
            use_ssh_config=use_ssh_config,
        )
    return Target(
        name=host.name,
        address=spec.address,
        port=spec.port,
        user=spec.user,
        identity=Path(spec.identity).expanduser() if spec.identity is not None else None,
        host_keys=spec.host_key,
        jump=jump,
        become=spec.become,
        use_ssh_config=use_ssh_config,
    )


def jobs_of(app: str) -> str:
    """Return what an app's jobs are called where a host is changed for them."""
    return f"jobs of {app}"


def claims_of(app: str) -> tuple[str, str]:
    """Return what hosts are claimed for when an app or its jobs change there."""
    return app, jobs_of(app)


class HostLink:
    """A host that answers. `hello` holds its facts; `seen` what it was last observed to hold.

    It is in `held` for as long as this run has it claimed.
    """

    def __init__(
        self,
        host: Host,
        link: Link,
        blob_path: Callable[[str], Path],
        epoch_above: Callable[[int], Awaitable[int]],
        reopen: Callable[[], Awaitable[Link]],
        turn: Turn,
        masks: Masks,
        held: set[HostLink],
    ) -> None:
        self.host = host
        self.name = host.name
        self.link = link
        self.hello: Mapping[str, Any] = link.hello
        self.facts: Facts = facts_of(link.hello)
        self.layout: Layout = layout_of(host.spec)
        self._blob_path = blob_path
        self._epoch_above = epoch_above
        self._reopen = reopen
        self._turn = turn
        self._claiming = asyncio.Lock()
        self._claims: set[str] = set()
        self._held = held
        self.masks = masks
        self._epoch: int | None = None
        self._digest = ""
        self._seen: HostSeen | None = None
        self._changes = 0
        self._looking: tuple[int, asyncio.Task[HostSeen]] | None = None
        self._uploads: dict[str, asyncio.Task[None]] = {}
        self._settled: dict[str, tuple[object, HostSeen]] = {}
        self._slots = asyncio.Semaphore(UPLOADS)

    async def observe(self) -> HostSeen:
        """Look at the host: one round trip, a few bytes if nothing changed since the last.

        Whoever asks while a look is under way shares it, unless a step was made since it began.
        """
        looking = self._looking
        if looking is None or looking[0] != self._changes or looking[1].done():
            looking = self._looking = self._changes, asyncio.create_task(self._look())
        return await asyncio.shield(looking[1])

    def is_claimed_for(self, app: str) -> bool:
        """Whether this run holds the host, and `app` is among its reasons."""
        return self._epoch is not None and app in self._claims

    async def claim(self, app: str = "") -> None:
        """Take the host for this run, waiting for whoever has it; raises HostBusy when too long.

        Its epoch is above every one that the host has seen, so any earlier run is fenced off. One
        that waited must look again: what it saw before may have changed since.
        """
        async with self._claiming:
            self._claims.add(app)
            if self._epoch is None:
                at_least = await self._epoch_above(int(self.hello.get("epoch") or 0))
                claim = partial(self.link.call, "claim", at_least=at_least)
                reply = await self._turn.taken(app or f"host {self.name}", claim)
                self._epoch = int(reply.header["epoch"])
                self._held.add(self)

    async def reopen(self) -> None:
        """Replace a lost link by a new one.

        The epoch stays: if somebody took the host over meanwhile, the host says so.
        """
        self.link = await self._reopen()
        self._digest, self._seen = "", None
        self._uploads.clear()
        self._changes += 1

    async def changes(self) -> AsyncIterator[None]:
        """Yield once the host is watched, and then whenever a look would see something else.

        Raises the link's error when it goes, HandError when the host cannot watch itself.
        """
        async with aclosing(self.link.stream("watch")) as parts:
            async for _ in parts:
                yield

    def is_as_seen(self, seen: HostSeen) -> bool:
        """Return whether nothing was done to the host since it was seen so."""
        looking = self._looking
        return seen is self._seen and looking is not None and looking[0] == self._changes

    async def let_go(self, *apps: str) -> None:
        """Give the host up for these apps, so that others may change it.

        It stays claimed for as long as another app of this run is a reason to.
        """
        async with self._claiming:
            self._claims -= {"", *apps}
            if self._epoch is None or self._claims:
                return
            self._epoch = None
            self._held.discard(self)
            with suppress(HostUnreachable):  # a hand that is gone holds nothing
                await self.link.call("let_go")

    def settle(self, app: str, wanted: object, seen: HostSeen) -> None:
        """Remember that a plan for `wanted` found nothing to do in `seen`."""
        self._settled[app] = wanted, seen

    def is_settled(self, app: str, wanted: object, seen: HostSeen) -> bool:
        """Return whether planning again would ask the same question of the very same values."""
        known = self._settled.get(app)
        return known is not None and known[1] is seen and known[0] is wanted

    async def _look(self) -> HostSeen:
        reply = await self.link.call("observe", known=self._digest, timeout=60)
        answer = reply.header
        if answer.get("same") is True and self._seen is not None:
            return self._seen
        try:
            self._seen = parse_seen(answer["seen"])
            self._digest = str(answer["digest"])
        except (BadAnswer, KeyError) as error:
            raise ProtocolError(self.name, str(error)) from error
        return self._seen

    async def apply(self, app: str, step: Step, number: int, of: int, report: Reporter) -> None:
        """Make one step, the `number`-th of a plan of `of`."""
        report.step_began(self.name, app, step, number, of)
        began = time.monotonic()
        count = failpoints.next_step()
        failpoints.reached("before", count)
        if isinstance(step, Upload):
            await self._upload(step)
        else:
            await self.call(step.op, **step.args)
        self._changes += 1
        failpoints.reached("after", count)
        report.step_ended(self.name, app, step, time.monotonic() - began)

    async def call(
        self, op: str, /, *, body: bytes = b"", timeout: float | None = None, **args: Any
    ) -> Reply:
        """Ask for a change, under the epoch that the host was claimed with."""
        epoch = await self.epoch()
        try:
            return await self.link.call(op, body=body, timeout=timeout, epoch=epoch, **args)
        except HandError as error:
            # Apps print what they are given, and a failed gate tells their last lines.
            raise error.through(self.masks) from None

    async def epoch(self) -> int | None:
        """Return the epoch that a change of this host must carry, claiming it if need be."""
        await self.claim()
        return self._epoch

    async def _upload(self, step: Upload) -> None:
        reply = await self.link.call("missing", digests=list(step.blobs))
        # What the host asks for is data: only what this upload offered may leave.
        missing = set(reply.header["missing"]) & set(step.blobs)
        await make_room(self, step, missing, reply.header.get("disk"), self._blob_path)
        sending = self._sending(missing)
        for outcome in await asyncio.gather(*sending, return_exceptions=True):
            if isinstance(outcome, HandError) and outcome.kind == "disk-full":
                await drop(self, step)
            if isinstance(outcome, BaseException):
                raise outcome

    def _sending(self, missing: Collection[str]) -> set[asyncio.Task[None]]:
        """Return the tasks that send these blobs: one for each, whichever apps wait for it."""
        # One that is done tells nothing: the blob may have been swept since.
        under_way = {sha256 for sha256, task in self._uploads.items() if not task.done()}
        new = [sha256 for sha256 in missing if sha256 not in under_way]
        for batch in batches({sha256: self._blob_path(sha256).stat().st_size for sha256 in new}):
            self._uploads |= dict.fromkeys(batch, asyncio.create_task(self._send(batch)))
        return {self._uploads[sha256] for sha256 in missing}

    async def _send(self, batch: Sequence[str]) -> None:
        paths = {sha256: self._blob_path(sha256) for sha256 in batch}
        async with self._slots:
            if len(paths) > 1:
                await put_blobs(self, paths)
                return
            for sha256, path in paths.items():
                await put_blob(self, sha256, path)
