"""Says in a Slack channel (or Mattermost's, Rocket.Chat's) what happened and what went wrong."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any, ClassVar

from steersman.api.model import Model
from steersman.api.plugging import Plugin
from steersman.api.signals import ErrorReport, Happening, Signal, SignalName
from steersman_plugins.http import Http, Url
from steersman_plugins.templates import Rendering, Template

_MOST_LINE, _MOST_TEXT = 1000, 30_000
_ESCAPED = str.maketrans({"&": "&amp;", "<": "&lt;", ">": "&gt;"})


class Slack(Plugin):
    """A channel behind an incoming webhook; each batch is one message, a line for each signal."""

    takes: ClassVar[frozenset[SignalName]] = frozenset({"events", "errors"})

    class Config(Model):
        """`url` is that of the incoming webhook; `text` is a template of one line."""

        url: Url
        text: Template | None = None
        channel: str | None = None
        username: str | None = None

    def __init__(self, name: str, config: Any) -> None:
        super().__init__(name, config)
        self._http = Http()
        self._rendering = Rendering(config.text) if config.text is not None else None

    async def ship(self, batch: Sequence[Signal]) -> None:
        if not batch:
            return
        message = {"text": joined([self._line(each) for each in batch])}
        for key in ("channel", "username"):
            if getattr(self.config, key) is not None:
                message[key] = getattr(self.config, key)
        headers = {"Content-Type": "application/json; charset=utf-8"}
        await self._http.post(self.config.url, json.dumps(message).encode(), headers)

    async def close(self) -> None:
        await self._http.close()

    def _line(self, signal: Signal) -> str:
        if self._rendering is not None:
            return one_line(self._rendering.render(signal))
        return told(signal)


def told(signal: Signal) -> str:
    """Return a signal as a line of Slack's: what it is, of which app, where."""
    if isinstance(signal, Happening):
        mark = ":warning:" if signal.is_warning else ":white_check_mark:"
        text = f"*{signal.reason}* {signal.about.lower()}: {signal.message}"
    elif isinstance(signal, ErrorReport):
        mark, text = ":red_circle:", f"*{signal.kind}* {signal.origin.app}: {signal.title}"
    else:
        return ""
    origin = signal.origin
    release = f" release {origin.release}" if origin.release else ""
    where = f" ({origin.host}{release})" if origin.host or release else ""
    return f"{mark} {one_line(text.translate(_ESCAPED))}{where.translate(_ESCAPED)}"


def one_line(text: str) -> str:
    """Return `text` without line breaks, and not too long."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_LINE else f"{line[:_MOST_LINE]}…"


def joined(lines: Sequence[str]) -> str:
    """Return as many lines as one message may have, and how many more there were."""
    kept, size = list[str](), 0
    for line in lines:
        size += len(line) + 1
        if size > _MOST_TEXT:
            return "\n".join([*kept, f"… and {len(lines) - len(kept)} more"])
        kept.append(line)
    return "\n".join(kept)
