"""Signals to ship in tests and probes: of each kind, told apart by a number, plain or hostile."""

from dataclasses import replace

from steersman.api.signals import (
    ErrorReport,
    Frame,
    Happening,
    LogRecord,
    Origin,
    Raised,
    Sample,
    Signal,
    SignalName,
    Span,
)

WHEN = 1_790_000_000.0
ORIGIN = Origin(host="h1", app="shop", process="web", instance="1", release=7, commit="4f0c" * 10)

HOSTILE = (
    "nul \0 and controls \x01\x1b[31m\x7f\x85",
    "lines\nand\r\nmore\u2028lines\n\n",
    "half a pair \ud800 of surrogates",
    "{{ 7 * 7 }} {% raw %} ${HOME} $(id) `id` %s %(x)s {0.__class__}",
    "'\"\\/|#:;=@,<!channel> <script>alert(1)</script> &amp; ]]>",
    "\u202eright to left, \U0001f680 and combining e\u0301" * 3,
    "long " * 20_000,
    "",
)


def signal(name: SignalName, number: int) -> Signal:
    """Return a signal of a kind; whoever received it can see the number in `marker_of` it."""
    when, mark = WHEN + number, f"law{number}mark"
    if name == "logs":
        return LogRecord(time=when, origin=ORIGIN, text=f"{mark} was written", level="warning")
    if name == "metrics":
        return Sample(
            time=when, name=f"steersman_{mark}", value=number + 0.5, labels={"app": "shop"}
        )
    if name == "events":
        return Happening(
            time=when, origin=ORIGIN, about="App/shop", reason="Deployed", message=f"{mark} serves"
        )
    if name == "traces":
        return Span(
            trace=f"{number + 1:032x}", id=f"{number + 1:016x}", name=mark, start=when,
            end=when + 1, origin=ORIGIN, attributes={"steps": 3},
        )  # fmt: skip
    return _error(when, mark)


def _error(when: float, mark: str) -> ErrorReport:
    frame = Frame(
        file="shop/cart.py", line=12, function="add", code="    total += price",
        before=("def add(price):",), after=("    return total",),
    )  # fmt: skip
    raised = Raised(type="ValueError", message=f"{mark} is no price", frames=(frame,))
    crumb = LogRecord(time=when - 1, origin=ORIGIN, text="a line before")
    return ErrorReport(
        time=when, origin=ORIGIN, kind="exception", title=f"ValueError: {mark} is no price",
        fingerprint=f"fingerprint {mark}", message=f"{mark} is no price", exceptions=(raised,),
        breadcrumbs=(crumb,),
    )  # fmt: skip


def marker_of(signal: Signal) -> str:
    """Return what of a signal made here is unlike every other."""
    if isinstance(signal, LogRecord):
        return signal.text
    if isinstance(signal, ErrorReport):
        return signal.message
    if isinstance(signal, Happening):
        return signal.message
    if isinstance(signal, Sample | Span):
        return signal.name
    return ""


def hostile(name: SignalName, text: str) -> Signal:
    """Return a signal of a kind in which every text that comes from an app or a host is `text`."""
    origin = Origin(host="h1", app="shop", process="web", instance=text, commit=text)
    plain = signal(name, 9)
    if isinstance(plain, LogRecord):
        return replace(plain, origin=origin, text=text, fields={text or "empty": text})
    if isinstance(plain, Sample):
        return replace(plain, labels={"app": "shop", "code": text})
    if isinstance(plain, Happening):
        return replace(plain, origin=origin, message=text, reason="Hostile")
    if isinstance(plain, Span):
        return replace(plain, origin=origin, name=text or "empty", attributes={"what": text})
    if isinstance(plain, ErrorReport):
        frame = Frame(file=text, line=0, function=text, code=text, before=(text,), after=(text,))
        raised = Raised(type=text, message=text, frames=(frame,))
        crumb = LogRecord(time=WHEN, origin=origin, text=text)
        return replace(
            plain, origin=origin, title=text, message=text, fingerprint=text,
            exceptions=(raised, replace(raised, relation="cause", parent=0)), breadcrumbs=(crumb,),
        )  # fmt: skip
    return plain
