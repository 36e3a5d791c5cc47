"""An SSH server inside this process: the embedded host's door, on loopback, for one key.

It runs only commands that begin with `exec`, split into words and started without a shell: a
shell would replace itself with just those.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shlex
import signal
from collections.abc import AsyncGenerator, Coroutine, Mapping
from dataclasses import dataclass
from pathlib import Path

import asyncssh

REFUSED = 126
ENDED_BY = 128
GRACE = 5.0
CHUNK = 1 << 16
# What a client may send besides bytes; none of ours does.
INTERRUPTIONS = (asyncssh.BreakReceived, asyncssh.SignalReceived, asyncssh.TerminalSizeChanged)

Source = asyncio.StreamReader | asyncssh.SSHReader[bytes]
Sink = asyncio.StreamWriter | asyncssh.SSHWriter[bytes]


@dataclass(frozen=True, slots=True)
class Door:
    """How to get in: on 127.0.0.1, with the private key at `identity`."""

    port: int
    host_key: str
    identity: Path


@contextlib.asynccontextmanager
async def open_door(folder: Path, env: Mapping[str, str]) -> AsyncGenerator[Door]:
    """Serve SSH until the block ends, to whoever has a key that is made for just this time.

    Commands run with `env`. The private key lies in `folder`, which must be private.
    """
    identity = folder / "identity"
    client_key = asyncssh.generate_private_key("ssh-ed25519", comment="steersman embedded host")
    host_key = asyncssh.generate_private_key("ssh-ed25519")
    identity.touch(0o600)
    client_key.write_private_key(identity)
    trusted = asyncssh.import_authorized_keys(client_key.export_public_key().decode())
    running: set[asyncio.Task[None]] = set()

    async def serve(process: asyncssh.SSHServerProcess[bytes]) -> None:
        task = asyncio.current_task()
        if task is not None:
            running.add(task)
            task.add_done_callback(running.discard)
        await _run(process, env)

    listener = await asyncssh.listen(
        "127.0.0.1",
        0,
        server_host_keys=[host_key],
        authorized_client_keys=trusted,
        process_factory=serve,
        encoding=None,
        agent_forwarding=False,
        allow_scp=False,
        gss_host=None,
    )
    public = " ".join(host_key.export_public_key().decode().split()[:2])
    try:
        yield Door(listener.get_port(), public, identity)
    finally:
        listener.close()
        for task in running:
            task.cancel()
        await asyncio.gather(*running, return_exceptions=True)
        await listener.wait_closed()
        identity.unlink()


async def _run(process: asyncssh.SSHServerProcess[bytes], env: Mapping[str, str]) -> None:
    """Run the command of one channel; it and its process group end with the channel."""
    words = shlex.split(process.command or "")
    if words[:1] != ["exec"] or len(words) < 2:
        process.stderr.write(b"this host only runs `exec PROGRAM ...`\n")
        process.exit(REFUSED)
        return
    pipe = asyncio.subprocess.PIPE
    child = await asyncio.create_subprocess_exec(
        *words[1:], stdin=pipe, stdout=pipe, stderr=pipe, env=dict(env), start_new_session=True
    )
    gone = asyncio.create_task(process.wait_closed())
    heard = asyncio.create_task(_pass(process.stdin, child.stdin))
    said = asyncio.gather(_pass(child.stdout, process.stdout), _pass(child.stderr, process.stderr))
    try:
        await asyncio.wait((gone, said), return_when=asyncio.FIRST_COMPLETED)
        if said.done():
            code = await child.wait()
            process.exit(code if code >= 0 else ENDED_BY - code)
    finally:
        for task in (gone, heard, said):
            task.cancel()
        await asyncio.gather(gone, heard, said, return_exceptions=True)
        await _to_its_end(_end(child))


async def _to_its_end(work: Coroutine[None, None, None]) -> None:
    """Finish `work` however often this task is cancelled: a child must be waited for."""
    task = asyncio.ensure_future(work)
    while not task.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.shield(task)


async def _pass(source: Source | None, sink: Sink | None) -> None:
    """Pass bytes on until either end is no more, and the end of them too."""
    if source is None or sink is None:
        return
    with contextlib.suppress(OSError, asyncssh.Error, *INTERRUPTIONS):
        while data := await source.read(CHUNK):
            sink.write(data)
            await sink.drain()
        sink.write_eof()


async def _end(child: asyncio.subprocess.Process) -> None:
    """End what is left of the child's group: by end of file if it will, else by force."""
    if child.stdin is not None:
        child.stdin.close()
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(GRACE):
            await child.wait()
    with contextlib.suppress(ProcessLookupError):
        os.killpg(child.pid, signal.SIGKILL)
    await child.wait()
