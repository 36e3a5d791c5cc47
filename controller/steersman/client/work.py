"""A daemon as verbs see it: its store, its controller and what it knows of hosts."""

from __future__ import annotations

import tempfile
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import unquote, urlsplit

from steersman.api.secret import Secret
from steersman.client.api import Api, connected
from steersman.client.contexts import Context
from steersman.client.controller import RemoteController, RemotePushes, RemoteRepositories
from steersman.client.errorbook import RemoteErrors
from steersman.client.looks import RemoteLooks
from steersman.client.program import Dial
from steersman.client.store import RemoteStore
from steersman.client.tls import trust_of
from steersman.control.memory import Memory
from steersman.control.report import Reporter
from steersman.control.secrets import SecretReader
from steersman.manifests.document import Sourced
from steersman.transport.target import Target
from steersman.transport.tunnel import tunnelled


@dataclass(frozen=True, slots=True)
class Daemon:
    """One connection to a daemon."""

    store: RemoteStore
    controller: RemoteController
    looks: RemoteLooks
    repositories: RemoteRepositories
    pushes: RemotePushes
    errors: RemoteErrors


@asynccontextmanager
async def attached(
    context: Context,
    report: Reporter,
    *,
    patience: float | None = None,
    trust_files: Sequence[Path] = (),
) -> AsyncIterator[Daemon]:
    """Yield the daemon of a context, as verbs see it."""
    opened = reached(context, report, patience=patience, trust_files=trust_files)
    async with opened as (api, dial):
        store = RemoteStore(api)
        yield Daemon(
            store,
            RemoteController(api, Memory(store)),
            RemoteLooks(api, dial),
            RemoteRepositories(api),
            RemotePushes(api),
            RemoteErrors(api),
        )


@asynccontextmanager
async def reached(
    context: Context,
    report: Reporter,
    *,
    patience: float | None = None,
    trust_files: Sequence[Path] = (),
) -> AsyncIterator[tuple[Api, Dial]]:
    """Yield the way to a daemon; by ssh:// through a connection to its machine.

    `patience` are the seconds to wait for somebody else who works on the same.
    """
    async with AsyncExitStack() as stack:
        socket: str | None = None
        tls = None
        match context.scheme:
            case "unix":
                socket = urlsplit(context.server).path
            case "ssh":
                socket = await stack.enter_async_context(_over_ssh(context, trust_files))
            case _:
                tls = await trust_of(context)
        opened = connected(context, report, socket=socket, tls=tls, patience=patience)
        yield await stack.enter_async_context(opened), Dial(socket, tls)


@asynccontextmanager
async def _over_ssh(context: Context, trust_files: Sequence[Path]) -> AsyncIterator[str]:
    parts = urlsplit(context.server)
    target = Target(
        name=context.name,
        address=parts.hostname or "",
        port=parts.port,
        user=unquote(parts.username) if parts.username is not None else None,
        use_ssh_config=True,
    )
    path = parts.path if parts.path not in ("", "/") else None
    with tempfile.TemporaryDirectory(prefix="steer-") as folder:
        here = f"{folder}/s"
        async with tunnelled(target, here, path, trust_files=trust_files):
            yield here


class RemoteReader:
    """Fetches values of Secrets here; what is sealed goes as it is, for the daemon to open."""

    def __init__(self, reader: SecretReader) -> None:
        self._reader = reader

    async def read(self, sourced: Sequence[Sourced]) -> tuple[Sourced, ...]:
        found: list[Sourced] = []
        for each in sourced:
            secret = each.obj
            data = secret.spec.data if isinstance(secret, Secret) else {}
            plain = [key for key, source in data.items() if source.sealed is None]
            found += await self._reader.read([each], only=plain)
        return tuple(found)
