"""The parts that verbs work with, put together in this one place."""

import logging
import os
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from steersman.builds import Builder
from steersman.builds.builder import default_cache
from steersman.cli.app import Tools
from steersman.cli.text import printable
from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts
from steersman.control.memory import Memory
from steersman.control.report import Reporter, Silent
from steersman.control.secrets import SecretReader
from steersman.control.session import Session
from steersman.control.turns import PATIENCE
from steersman.store.sqlite import SqliteStore
from steersman.transport.known_hosts import KnownHosts


@dataclass(frozen=True, slots=True)
class Work:
    """One run of steer: `controller` changes things, `session` reaches hosts."""

    store: SqliteStore
    session: Session
    controller: Controller
    artifacts: Artifacts
    secrets: SecretReader
    trusted: KnownHosts

    @property
    def memory(self) -> Memory:
        return self.session.memory


@asynccontextmanager
async def opened(
    tools: Tools,
    report: Reporter | None = None,
    *,
    is_verbose: bool = False,
    cache: Path | None = None,
) -> AsyncIterator[Work]:
    """Open the store; hosts are connected to on demand, and left when this ends.

    `cache` is where builds are kept, if not where they usually are.
    """
    configure_logs(is_verbose=is_verbose, is_debugging=tools.is_debugging)
    async with tools.store() as store:
        cache = cache if cache is not None else default_cache(os.environ)
        trusted = KnownHosts(store.path.parent / "known_hosts")
        reporter = report if report is not None else Silent()
        patience = tools.patience if tools.patience is not None else PATIENCE
        keys = tools.keyring()
        session = Session(
            store, reporter, cache, trust_files=(trusted.path,), patience=patience, keys=keys
        )
        artifacts = Artifacts(Builder(cache))
        controller = Controller(session, artifacts)
        secrets = SecretReader(keys, os.environ)
        try:
            yield Work(store, session, controller, artifacts, secrets, trusted)
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
