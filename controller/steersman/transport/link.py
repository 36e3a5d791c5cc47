"""A link: one SSH connection to a host and the one hand at its other end."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import orjson
import structlog

from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.transport import ssh
from steersman.transport.blobs import put_blob
from steersman.transport.bundle import Bundle, hand_bundle
from steersman.transport.errors import CallTimedOut, ProtocolError, StreamOverrun, hand_error
from steersman.transport.frames import Decoder, Frame, Reply, pack
from steersman.transport.inbox import Inbox
from steersman.transport.output import Preamble, Tail, hand_failure, startup_error
from steersman.transport.pulse import USUAL, Pulse, Timing
from steersman.transport.target import Target

log = structlog.get_logger(__name__)

# Replies to these requests are not waited for.
_UNASKED = 0
_PUSHES = (1024, 1024 * 1024)
_STREAM = (1024, 4 * 1024 * 1024)
_CREDIT = 64


class Link:
    """Calls to the hand of one host; made by `open`, of no use once `lost` is set.

    `hello` is the hand's answer to the op of that name, `pushes` what it said without being asked
    (the oldest are dropped when nobody reads, and counted).
    """

    def __init__(self, target: Target, timing: Timing) -> None:
        self.target = target
        self.name = target.name
        self.hello: dict[str, Any] = {}
        self.pushes = Inbox(*_PUSHES)
        self.lost = asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._decoder = Decoder(target.name)
        self._tail = Tail()
        self._preamble = Preamble(target.name)
        self._pending: dict[int, Callable[[Frame | SteersmanError], None]] = {}
        self._next_id = 1
        self._writable = asyncio.Event()
        self._writable.set()
        self._ready = asyncio.Event()
        self._packed = b""
        self._sending = asyncio.Lock()
        self._pulse = Pulse(timing, self._ready.is_set, self._ping, self._silent)
        self._connection: ssh.Connection | None = None
        self._channel: ssh.Channel | None = None
        self._loss: Callable[[], SteersmanError] | None = None

    @classmethod
    async def open(
        cls,
        target: Target,
        settings: Mapping[str, Any],
        *,
        trust_files: Sequence[Path] = (),
        bundle: Bundle | None = None,
        timing: Timing = USUAL,
    ) -> Self:
        """Log in, start the hand with `settings`, and return once it answers.

        Raises what `ssh.connect` raises, and PythonMissing, PythonTooOld, SudoRefused,
        BundleRefused, HandFailed or ProtocolError.
        """
        chosen = bundle if bundle is not None else hand_bundle()
        link = cls(target, timing)
        link._connection = await ssh.connect(target, trust_files=trust_files)
        try:
            await link._start(link._connection, chosen, settings)
            reply = await link.call("hello", timeout=timing.start)
        except BaseException:
            await link.close()
            raise
        # Our pings do from here on, and setting asyncssh's timer anew for each packet costs.
        link._connection.send_no_keepalives()
        link.hello = reply.header
        return link

    async def _start(
        self, connection: ssh.Connection, bundle: Bundle, settings: Mapping[str, Any]
    ) -> None:
        command = bundle.for_user(self.target.become)
        self._channel = await connection.start(command, self)
        self._packed = bundle.packed
        store = f"{settings['root']}/store".encode() if "root" in settings else b""
        self._write(_sized(store) + _sized(orjson.dumps(settings)))
        self._pulse.begin()
        # Until then its standard input is not frames: it may have to take the hand first.
        await self._ready.wait()

    async def call(
        self, op: str, /, *, body: bytes = b"", timeout: float | None = None, **args: Any
    ) -> Reply:
        """Ask the hand and return its answer; any number of calls may be under way.

        Raises HandError (StaleEpoch, HostBusy) when it says no, CallTimedOut after `timeout`
        seconds, and HostUnreachable or another link error when the link goes.
        """
        answer: asyncio.Future[Frame] = self._loop.create_future()
        number = self._expect(partial(_settle, answer))
        try:
            async with asyncio.timeout(timeout):
                await self._send({"id": number, "op": op, **args}, body)
                frame = await answer
        except TimeoutError:
            self._cancel(number)
            raise CallTimedOut(self.name, op, timeout or 0) from None
        except asyncio.CancelledError:
            self._cancel(number)
            raise
        finally:
            self._pending.pop(number, None)
            if answer.done() and not answer.cancelled():
                answer.exception()  # seen, even when a cancellation came before we read it
        return self._reply(frame)

    async def stream(self, op: str, /, *, body: bytes = b"", **args: Any) -> AsyncGenerator[Reply]:
        """Yield the answers to one request until the hand sends the last, which ends it.

        Leaving the loop early tells the hand to stop. The request carries `credit`, how many
        answers the hand may be ahead; reading gives it more with the op `credit`.
        """
        inbox = Inbox(*_STREAM)
        number = self._expect(partial(self._feed_stream, op, inbox))
        more = True
        unread = 0
        try:
            await self._send({"id": number, "op": op, "credit": _CREDIT, **args}, body)
            while more and (frame := await inbox.get()) is not None:
                more = frame.header.get("more") is True
                yield self._reply(frame)
                unread += 1
                if more and unread == _CREDIT // 2:
                    await self.tell("credit", number, n=unread)
                    unread = 0
        finally:
            if self._pending.pop(number, None) is not None and more:
                self._cancel(number)

    async def tell(self, op: str, target: int, /, *, body: bytes = b"", **args: Any) -> None:
        """Send to the request numbered `target`, as the `id` of its answers says; none comes."""
        await self._send({"id": _UNASKED, "op": op, "target": target, **args}, body)

    async def close(self) -> None:
        """End the hand by end of file, then the connection. Pending calls fail."""
        self._end(lambda: HostUnreachable(self.name, "the link was closed"))
        if self._connection is not None:
            await self._connection.close()

    async def put_blob(self, sha256: str, path: Path, **args: Any) -> bool:
        """Send a file to the host's store; see `blobs.put_blob`."""
        return await put_blob(self, sha256, path, **args)

    @property
    def round_trip(self) -> float | None:
        """Seconds from the last ping that was answered to its answer."""
        return self._pulse.round_trip

    @property
    def is_alive(self) -> bool:
        return self._loss is None

    def data_received(self, data: bytes) -> None:
        """Part of ssh.Receiver: never raises, so a broken host ends its own link only."""
        if self._loss is not None:
            return
        try:
            frames = self._decoder.feed(self._skip_preamble(data))
        except ProtocolError as error:
            self._lose(partial(ProtocolError, self.name, error.why))
            return
        if frames:
            self._pulse.alive()
        else:
            self._pulse.heard(len(data))
        for frame in frames:
            self._dispatch(frame)

    def _skip_preamble(self, data: bytes) -> bytes:
        """Return what of `data` is frames; gives the hand to a host that asks for it."""
        frames = self._preamble.skip(data)
        if self._preamble.is_hand_wanted and self._packed:
            self._write(self._packed)
            self._packed = b""
            self._pulse.alive()
        if self._preamble.is_over:
            self._ready.set()
        return frames

    def stderr_received(self, data: bytes) -> None:
        self._tail.feed(data)

    def pause_writing(self) -> None:
        self._writable.clear()

    def resume_writing(self) -> None:
        self._writable.set()

    def ended(self, status: int | None, error: SteersmanError | None) -> None:
        said = self._tail.lines()
        if error is not None and not isinstance(error, HostUnreachable):
            self._lose(lambda: error)
        elif error is not None:
            self._lose(lambda: HostUnreachable(self.name, "the link was lost"))
        elif not self._preamble.is_over:
            self._lose(lambda: startup_error(self.target, status, said))
        elif status is None and not said:
            self._lose(lambda: HostUnreachable(self.name, "the link was lost"))
        else:
            self._lose(lambda: hand_failure(self.target, status, said))

    def _dispatch(self, frame: Frame) -> None:
        if "push" in frame.header:
            self.pushes.put(frame)
            return
        # An answer that nobody waits for any more came after its cancel: nothing to do.
        number = frame.header.get("id")
        if number == _UNASKED:
            self._pulse.answered()
        deliver = self._pending.get(number) if type(number) is int else None
        if deliver is not None:
            deliver(frame)

    def _feed_stream(self, op: str, inbox: Inbox, arrived: Frame | SteersmanError) -> None:
        if isinstance(arrived, SteersmanError):
            inbox.close(arrived)
        elif not inbox.put(arrived):
            inbox.close(StreamOverrun(self.name, op))

    def _expect(self, deliver: Callable[[Frame | SteersmanError], None]) -> int:
        if self._loss is not None:
            raise self._loss()
        number = self._next_id
        self._next_id += 1
        self._pending[number] = deliver
        return number

    async def _send(self, header: Mapping[str, Any], body: bytes = b"") -> None:
        frame = pack(header, body)
        # In turn: one that comes just as the channel takes more must not pass those that waited,
        # for the chunks of a blob only fit in their order.
        async with self._sending:
            while not self._writable.is_set():
                await self._writable.wait()
            self._write(frame)

    def _write(self, data: bytes) -> None:
        # Whoever waits for an answer learns of a loss by that, so there is nothing to raise here.
        if self._loss is None and self._channel is not None:
            with contextlib.suppress(BrokenPipeError):  # `ended` follows and tells why
                self._channel.write(data)

    def _cancel(self, number: int) -> None:
        self._write(pack({"id": _UNASKED, "op": "cancel", "target": number}))

    def _reply(self, frame: Frame) -> Reply:
        if frame.header.get("ok") is not True:
            raise hand_error(self.name, frame.header.get("error"))
        return Reply(frame.header, frame.body)

    def _ping(self) -> None:
        self._write(pack({"id": _UNASKED, "op": "ping"}))

    def _silent(self, seconds: float) -> None:
        self._lose(lambda: HostUnreachable(self.name, f"it was silent for {seconds:.0f} s"))

    def _lose(self, make_error: Callable[[], SteersmanError]) -> None:
        if self._loss is None:
            log.warning("link_lost", host=self.name, why=str(make_error()))
            self._end(make_error)
            if self._connection is not None:
                self._connection.abort()

    def _end(self, make_error: Callable[[], SteersmanError]) -> None:
        """End everything once; each waiter gets an error of its own, so tracebacks do not mix."""
        if self._loss is not None:
            return
        self._loss = make_error
        self._pulse.stop()
        for deliver in list(self._pending.values()):
            deliver(make_error())
        self.pushes.close()
        self.lost.set()
        self._writable.set()
        self._ready.set()


def _sized(data: bytes) -> bytes:
    return len(data).to_bytes(4, "big") + data


def _settle(answer: asyncio.Future[Frame], arrived: Frame | SteersmanError) -> None:
    if answer.done():
        return
    if isinstance(arrived, SteersmanError):
        answer.set_exception(arrived)
    else:
        answer.set_result(arrived)
