"""One client of git's: its command run, its bytes passed on, its push judged."""

from __future__ import annotations

import asyncio
import json
import os
import resource
import signal
import socket
from contextlib import ExitStack, suppress

import structlog

from steersman.builds.text import clean
from steersman.server.git.commands import Command
from steersman.server.git.depot import Depot
from steersman.server.git.progress import Remote, Say, reminding
from steersman.server.git.push import Judge, Session
from steersman.server.git.report import Report
from steersman.server.git.updates import Push, PushRefused, read_updates, summary
from steersman.transport.git_server import Channel

IDLE_SECONDS = 60.0
MOST_CPU = 600
MOST_MEMORY = 4 << 30
# A hook tells of a thousand refs in one line.
_MOST_TOLD = 1 << 21
_MOST_UNREAD = 1 << 20
_CHUNK = 1 << 16

log = structlog.get_logger(__name__)


class Service:
    """Runs git for one client. Who leaves while his push is judged cancels nothing."""

    def __init__(self, depot: Depot, judge: Judge, max_pack: int, quiet: float) -> None:
        self._depot = depot
        self._judge = judge
        self._max_pack = max_pack
        self._quiet = quiet

    async def run(self, command: Command, key: str, channel: Channel) -> int:
        """Serve one command and return git's exit status."""
        with ExitStack() as held:
            ours, theirs = socket.socketpair()
            with ours, theirs:
                child = await self._start(command, theirs.fileno())
                theirs.close()
                client = _Conversation(child, channel)
                try:
                    return await self._converse(client, command, key, ours, held)
                finally:
                    await asyncio.shield(client.end())

    async def _start(self, command: Command, push_fd: int) -> asyncio.subprocess.Process:
        pipe = asyncio.subprocess.PIPE
        child = await asyncio.create_subprocess_exec(
            *self._depot.argv(command.service, command.app, self._max_pack),
            env=self._depot.env(command.app) | {"STEERSMAN_PUSH": str(push_fd)},
            stdin=pipe,
            stdout=pipe,
            stderr=pipe,
            pass_fds=[push_fd],
            start_new_session=True,
        )
        # A pack of a few kilobytes can ask for any amount of work.
        with suppress(ProcessLookupError):
            for what, most in (
                (resource.RLIMIT_CPU, MOST_CPU),
                (resource.RLIMIT_AS, MOST_MEMORY),
                (resource.RLIMIT_FSIZE, 4 * self._max_pack),
            ):
                resource.prlimit(child.pid, what, (most, most))
        return child

    async def _converse(
        self,
        client: _Conversation,
        command: Command,
        key: str,
        ours: socket.socket,
        held: ExitStack,
    ) -> int:
        reader, writer = await asyncio.open_connection(sock=ours, limit=_MOST_TOLD)
        session = Session(Remote(_saying(writer)), held)
        report = Report(lambda: session.reasons) if command.service == "receive-pack" else None
        judging = asyncio.create_task(
            self._judged(reader, writer, Push(command.app, key), session, client)
        )
        try:
            return await client.run(report)
        finally:
            judging.cancel()
            await asyncio.gather(judging, return_exceptions=True)
            writer.close()

    async def _judged(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        push: Push,
        session: Session,
        client: _Conversation,
    ) -> None:
        """Answer the hooks of one push, as long as git runs any."""
        while told := await reader.readline():
            client.is_judged = True
            code = 1
            try:
                async with reminding(session.remote, self._quiet):
                    code = await self._hook(json.loads(told), push, session)
            except PushRefused as error:
                session.remote.last(str(error))
            except Exception:
                log.exception("push_failed", app=push.app, key=push.key)
                session.remote.last("this went wrong here; the daemon's log says why")
            writer.write(b"=%d\n" % code)
            await writer.drain()

    async def _hook(self, told: object, push: Push, session: Session) -> int:
        facts = told if isinstance(told, dict) else {}
        updates = read_updates(facts.get("commands"))
        wanted = Push(push.app, push.key, updates, str(facts.get("quarantine") or ""))
        if facts.get("hook") == "pre-receive":
            log.info("push_began", app=push.app, key=push.key, refs=summary(updates))
            return 0 if await self._judge.before(wanted, session) else 1
        log.info("push_taken", app=push.app, key=push.key, refs=summary(updates))
        await self._judge.after(wanted, session)
        return 0


def _saying(writer: asyncio.StreamWriter) -> Say:
    """Return what says a line to the hook, which prints it; one that nobody reads is dropped."""

    def say(text: str) -> None:
        if writer.transport.get_write_buffer_size() < _MOST_UNREAD and not writer.is_closing():
            writer.write(b"-" + text.encode("utf-8", "replace") + b"\n")

    return say


class _Conversation:
    """The bytes between git's process and its client."""

    def __init__(self, child: asyncio.subprocess.Process, channel: Channel) -> None:
        self._child = child
        self._channel = channel
        self._heard = 0.0
        self.is_judged = False

    async def run(self, report: Report | None) -> int:
        """Pass everything on until git has ended, and return its exit status."""
        self._hear()
        up = asyncio.create_task(self._up())
        watch = asyncio.create_task(self._watch())
        try:
            await asyncio.gather(self._down(report), self._complaints())
            code = await self._child.wait()
            return code if code >= 0 else 128 - code
        finally:
            for task in (up, watch):
                task.cancel()
            await asyncio.gather(up, watch, return_exceptions=True)

    async def end(self) -> None:
        """See that nothing of git is left."""
        with suppress(ProcessLookupError):
            os.killpg(self._child.pid, signal.SIGKILL)
        await self._child.wait()

    def _hear(self) -> None:
        self._heard = asyncio.get_running_loop().time()

    async def _up(self) -> None:
        stdin = self._child.stdin
        with suppress(BrokenPipeError, ConnectionResetError):
            while stdin is not None and (data := await self._channel.read()):
                self._hear()
                stdin.write(data)
                await stdin.drain()
        # What is missing of a pack never comes: git says so itself.
        if stdin is not None:
            stdin.close()

    async def _down(self, report: Report | None) -> None:
        stdout = self._child.stdout
        while stdout is not None and (data := await stdout.read(_CHUNK)):
            self._hear()
            out = data if report is None else report.feed(data)
            if out:
                await self._channel.write(out)
        if report is not None and (rest := report.end()):
            await self._channel.write(rest)

    async def _complaints(self) -> None:
        stderr = self._child.stderr
        while stderr is not None and (data := await stderr.read(_CHUNK)):
            lines = data.decode("utf-8", "replace").splitlines()
            await self._channel.complain("".join(f"{clean(line)}\n" for line in lines))

    async def _watch(self) -> None:
        """End a client that is silent before it has sent everything."""
        loop = asyncio.get_running_loop()
        while not self.is_judged:
            left = self._heard + IDLE_SECONDS - loop.time()
            if left <= 0:
                log.warning("git_client_silent", seconds=IDLE_SECONDS)
                with suppress(ProcessLookupError):
                    os.killpg(self._child.pid, signal.SIGKILL)
                return
            await asyncio.sleep(left)
