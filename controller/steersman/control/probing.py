"""Signals that try a plugin: plainly no news of any app, and harmless where they arrive."""

from __future__ import annotations

import secrets

from steersman.api.signals import (
    ErrorReport,
    Happening,
    LogRecord,
    Origin,
    Sample,
    Signal,
    Span,
)

_ORIGIN = Origin(app="steersman-probe")


def probe_signal(name: str, plugin: str, now: float) -> Signal:
    """Return a signal of a kind, as of `now`, that says which plugin it tries."""
    text = f"a probe by `steer plugin test {plugin}`"
    if name == "logs":
        return LogRecord(time=now, origin=_ORIGIN, text=text)
    if name == "metrics":
        labels = {"app": _ORIGIN.app, "plugin": plugin}
        return Sample(time=now, name="steersman_probe", value=1.0, labels=labels)
    if name == "traces":
        return Span(
            trace=secrets.token_hex(16), id=secrets.token_hex(8), name=text, start=now - 0.001,
            end=now, origin=_ORIGIN,
        )  # fmt: skip
    if name == "events":
        about = f"Plugin/{plugin}"
        return Happening(time=now, origin=_ORIGIN, about=about, reason="Probed", message=text)
    return ErrorReport(
        time=now, origin=_ORIGIN, kind="exception", title=text, message=text, level="info",
        fingerprint=f"steersman-probe-{plugin}",
    )  # fmt: skip
