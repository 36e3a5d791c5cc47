"""The parts that verbs work with, put together in this one place."""

import logging
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import structlog

from steersman.builds import Builder, Policy
from steersman.builds.builder import default_cache
from steersman.cli.app import Tools
from steersman.cli.text import printable
from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts
from steersman.control.looks import Looks, OwnLooks
from steersman.control.memory import Memory
from steersman.control.report import Reporter, Silent
from steersman.control.repositories import Repositories
from steersman.control.secrets import SecretReader
from steersman.control.session import Session
from steersman.control.turns import PATIENCE
from steersman.control.verbs import FollowVerbs, PushVerbs, Verbs
from steersman.manifests.document import Sourced
from steersman.sealing.keyring import Keyring
from steersman.store.protocol import Store
from steersman.store.sqlite import SqliteStore
from steersman.telemetry.errorlog import FILE as ERRORS
from steersman.telemetry.errorlog import ErrorBook, ErrorLog
from steersman.transport.known_hosts import KnownHosts

# Whoever does it all in this process pays nothing for the way to a daemon.
if TYPE_CHECKING:
    from steersman.client.contexts import Context
    from steersman.client.work import Daemon


@dataclass(frozen=True, slots=True)
class Here:
    """A controller in this process: `controller` changes things, `session` reaches hosts."""

    store: SqliteStore
    session: Session
    controller: Controller
    artifacts: Artifacts
    secrets: SecretReader
    trusted: KnownHosts
    keys: Keyring
    repositories: Repositories

    @property
    def memory(self) -> Memory:
        return self.session.memory


class Reads(Protocol):
    """Fetches the values of Secrets from where manifests say they are."""

    async def read(self, sourced: Sequence[Sourced]) -> tuple[Sourced, ...]: ...


@dataclass(frozen=True, slots=True)
class Work:
    """One run of steer, by a controller in this process or by a daemon's; `memory` is its store
    in the words of the api."""

    store: Store
    memory: Memory
    controller: Verbs
    looks: Looks
    secrets: Reads
    repositories: FollowVerbs
    errors: ErrorBook


@asynccontextmanager
async def opened(
    tools: Tools, report: Reporter | None = None, *, is_verbose: bool = False
) -> AsyncIterator[Work]:
    """Yield what does the work: a daemon, if `tools` says so or one answers, else this process."""
    context = tools.daemon()
    if context is None:
        async with opened_here(tools, report, is_verbose=is_verbose) as here:
            looks = OwnLooks(here.session, here.controller, here.trusted)
            book = ErrorLog(here.store.path.parent / ERRORS)
            try:
                yield Work(
                    *(here.store, here.memory, here.controller, looks, here.secrets),
                    *(here.repositories, book),
                )
            finally:
                await book.close()
        return
    from steersman.client.work import RemoteReader

    configure_logs(is_verbose=is_verbose, is_debugging=tools.is_debugging)
    async with _attached(tools, context, report) as daemon:
        reader = RemoteReader(SecretReader(tools.keyring(), os.environ))
        memory = Memory(daemon.store)
        yield Work(
            *(daemon.store, memory, daemon.controller, daemon.looks, reader),
            *(daemon.repositories, daemon.errors),
        )


@asynccontextmanager
async def pushes_of(tools: Tools, report: Reporter) -> AsyncIterator[PushVerbs]:
    """Yield what makes repositories to push to: a daemon's, or those of this machine's state."""
    context = tools.daemon()
    if context is not None:
        configure_logs(is_verbose=False, is_debugging=tools.is_debugging)
        async with _attached(tools, context, report) as daemon:
            yield daemon.pushes
        return
    from steersman.server.config import FILE, read_config
    from steersman.server.git.create import Pushes
    from steersman.server.git.depot import Depot
    from steersman.server.git.endpoint import FOLDER

    async with opened_here(tools, report) as here:
        folder = here.store.path.parent
        depot = Depot(folder / FOLDER, os.environ)
        config = read_config(folder / FILE).git
        yield Pushes(depot, here.controller, here.memory, config)


@asynccontextmanager
async def store_of(tools: Tools, context: "Context") -> AsyncIterator[Store]:
    """Yield the store of a daemon."""
    configure_logs(is_verbose=False, is_debugging=tools.is_debugging)
    async with _attached(tools, context, None) as daemon:
        yield daemon.store


def _attached(
    tools: Tools, context: "Context", report: Reporter | None
) -> "AbstractAsyncContextManager[Daemon]":
    from steersman.client.work import attached

    heard = report if report is not None else Silent()
    trusted = tools.folder / "known_hosts"
    return attached(context, heard, patience=tools.patience, trust_files=(trusted,))


@asynccontextmanager
async def opened_here(
    tools: Tools,
    report: Reporter | None = None,
    *,
    is_verbose: bool = False,
    cache: Path | None = None,
    use_ssh_config: bool = True,
    walls: Policy = "preferred",
    settles: bool = False,
) -> AsyncIterator[Here]:
    """Open the store; hosts are connected to on demand, and left when this ends.

    `cache` is where builds are kept, if not where they usually are; `walls` is whether programs of
    strangers may run without them; with `settles`, a source's folder is read when it rests.
    """
    configure_logs(is_verbose=is_verbose, is_debugging=tools.is_debugging)
    async with tools.own_store() as store:
        cache = cache if cache is not None else default_cache(os.environ)
        trusted = KnownHosts(store.path.parent / "known_hosts")
        reporter = report if report is not None else Silent()
        patience = tools.patience if tools.patience is not None else PATIENCE
        keys = tools.keyring()
        session = Session(
            store,
            reporter,
            cache,
            trust_files=(trusted.path,),
            use_ssh_config=use_ssh_config,
            patience=patience,
            keys=keys,
        )
        artifacts = Artifacts(Builder(cache, walls=walls, settles=settles))
        controller = Controller(session, artifacts)
        secrets = SecretReader(keys, os.environ)
        try:
            repositories = Repositories(session, controller, keys)
            yield Here(store, session, controller, artifacts, secrets, trusted, keys, repositories)
        finally:
            await session.close()


def configure_logs(*, is_verbose: bool, is_debugging: bool) -> None:
    """Send log events to stderr: all when debugging, warnings when verbose, else none.

    Without this, libraries would write warnings across what a person reads.
    """
    quiet = logging.WARNING if is_verbose else logging.CRITICAL
    level = logging.DEBUG if is_debugging else quiet
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="%H:%M:%S", utc=False),
            structlog.processors.LogfmtRenderer(key_order=["timestamp", "level", "event"]),
            _tame,
        ],
        logger_factory=structlog.WriteLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler() if is_debugging else logging.NullHandler()
    handler.setLevel(logging.INFO)
    logging.basicConfig(level=logging.INFO, handlers=[handler])


def _tame(logger: Any, name: str, text: Any) -> str:
    return printable(str(text))
