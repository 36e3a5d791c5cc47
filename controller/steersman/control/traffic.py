"""How an app's answers fare on a host, by generation: what its hand reads in the proxy's log."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.host import HostSpec
from steersman.api.release import Answers
from steersman.control.hosts import HostLink
from steersman.drivers.hosts import layout_of, proxy_of

MOST = 1 << 40
BEFORE = 60.0
"""Seconds ahead of a switch whose answers are what those behind it are compared with."""


@dataclass(frozen=True, slots=True)
class Tally:
    """Answers of one generation: `latency` counts them by milliseconds, errors are 500 and above,
    and of those that were `cut` the client went first."""

    requests: int = 0
    errors: int = 0
    cut: int = 0
    latency: Counter[float] = field(default_factory=Counter)

    @property
    def rate(self) -> float:
        return self.errors / self.requests if self.requests else 0.0

    def quantile(self, share: float) -> float | None:
        """Return the seconds that this share of the answers took at most; None of no answers."""
        rank, below = share * self.latency.total(), 0
        for milliseconds in sorted(self.latency):
            below += self.latency[milliseconds]
            if below >= rank:
                return milliseconds / 1000
        return None

    def answers(self) -> Answers:
        """Return what is remembered of them."""
        return Answers(
            requests=self.requests, errors=self.errors, cut=self.cut, p99=self.quantile(0.99)
        )


@dataclass(frozen=True, slots=True)
class Traffic:
    """A host's: `current` serves as generation `number` since `age` seconds, `old` did before.

    The log does not tell which of the two answered those that are `unsure`.
    """

    number: int = 0
    age: float = 0.0
    current: Tally = field(default_factory=Tally)
    old: Tally = field(default_factory=Tally)
    unsure: Tally = field(default_factory=Tally)


def total(tallies: Iterable[Tally]) -> Tally:
    """Return all of them together."""
    requests, errors, cut, latency = 0, 0, 0, Counter[float]()
    for each in tallies:
        requests += each.requests
        errors += each.errors
        cut += each.cut
        latency += each.latency
    return Tally(requests, errors, cut, latency)


def access_settings(spec: HostSpec, apps: Iterable[App]) -> dict[str, Any]:
    """Return what the hand's source `access` is started with on a host that runs these apps."""
    proxy = proxy_of(spec)
    logs = {
        app.name: {"path": proxy.access_log(app.name), "routes": _routes(app)}
        for app in apps
        if proxy is not None and app.spec.routes
    }
    return {"logs": logs}


def _routes(app: App) -> list[list[str]]:
    return [[route.host, route.path] for route in app.spec.routes]


async def traffic_on(link: HostLink, app: App, seconds: float | None = None) -> Traffic:
    """Return a host's traffic around its last switch, or of the last `seconds`."""
    proxy = proxy_of(link.host.spec)
    if proxy is None or not app.spec.routes:
        return Traffic()
    reply = await link.link.call(
        "traffic",
        log=proxy.access_log(app.name),
        run=f"{layout_of(link.host.spec).run}/{app.name}",
        before=BEFORE,
        routes=_routes(app),
        seconds=seconds,
    )
    try:
        return _traffic(reply.header)
    except (KeyError, TypeError, ValueError, OverflowError) as error:
        raise NoFigures(link.name) from error


class NoFigures(SteersmanError):
    """What a host says of its traffic makes no sense."""

    def __init__(self, host: str) -> None:
        super().__init__(
            f"host {host}: what it says of its traffic cannot be read; see its proxy's log there"
        )


def _traffic(told: Mapping[str, Any]) -> Traffic:
    parts = [_tally(told[name]) for name in ("current", "old", "unsure")]
    return Traffic(_count(told["generation"]), _amount(told["age"]), *parts)


def _tally(told: Mapping[str, Any]) -> Tally:
    latency = Counter({_amount(ms): _count(count) for ms, count in told["latency"]})
    requests, errors, cut = (_count(told[name]) for name in ("requests", "errors", "cut"))
    return Tally(requests, errors, cut, latency)


def _count(told: object) -> int:
    if not isinstance(told, int) or not 0 <= told < MOST:
        raise ValueError(told)
    return told


def _amount(told: object) -> float:
    if not isinstance(told, int | float) or not 0 <= told < MOST:
        raise ValueError(told)
    return float(told)
