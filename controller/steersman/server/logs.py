"""The daemon's log: lines for people on a terminal, JSON for machines anywhere else."""

from __future__ import annotations

import logging
import sys
from collections.abc import Mapping, MutableMapping
from typing import Any, TextIO

import structlog

from steersman.api.printing import printable
from steersman.control.report import Verdict
from steersman.planning.steps import Step

log = structlog.get_logger("steersman")


def configure(stream: TextIO = sys.stderr, *, is_debugging: bool = False) -> None:
    """Send log events, and what libraries warn of, to `stream`."""
    level = logging.DEBUG if is_debugging else logging.INFO
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    if stream.isatty():
        # Tracebacks without the values of their variables: those may be secrets.
        plain = structlog.dev.plain_traceback
        last: list[Any] = [structlog.dev.ConsoleRenderer(exception_formatter=plain)]
    else:
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(level),
        processors=[*shared, _tame, *last],
        logger_factory=structlog.WriteLoggerFactory(stream),
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)


def _tame(logger: Any, name: str, event: MutableMapping[str, Any]) -> Mapping[str, Any]:
    """Let nothing that hosts and apps say move a cursor or break a line."""
    return {
        key: printable(value) if isinstance(value, str) and key != "exception" else value
        for key, value in event.items()
    }


class _ToStructlog(logging.Handler):
    """What libraries log, in our form."""

    def emit(self, record: logging.LogRecord) -> None:
        log.log(record.levelno, "library_said", library=record.name, said=record.getMessage())


class LogReporter:
    """A Reporter that logs what control does of its own accord."""

    def object_changed(self, key: str, change: str) -> None:
        log.info("object_changed", key=key, change=change)

    def said(self, subject: str, text: str) -> None:
        log.info("said", subject=subject, text=text)

    def step_began(self, host: str, app: str, step: Step, number: int, of: int) -> None: ...

    def step_ended(self, host: str, app: str, step: Step, seconds: float) -> None:
        log.debug("step_made", host=host, app=app, step=step.text, why=step.why, seconds=seconds)

    def host_ended(self, host: str, app: str, verdict: Verdict, detail: str) -> None:
        if verdict == "unchanged":
            return
        tell = log.info if verdict in ("converged", "removed") else log.warning
        tell("host_ended", host=host, app=app, verdict=verdict, detail=detail)
