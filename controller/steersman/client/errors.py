"""What can go wrong between the command line and a daemon, as sentences."""

from __future__ import annotations

from steersman.api.errors import SteersmanError


class DaemonUnreachable(SteersmanError):
    """Nobody answers where the context says the daemon is."""

    retryable = True

    def __init__(self, server: str, why: str) -> None:
        super().__init__(
            f"the daemon at {server} cannot be reached: {why}; see `steer config get-contexts`, or"
            " use --context local to do it from here"
        )


class DaemonLost(SteersmanError):
    """The connection broke after a request was made: what it began goes on in the daemon."""

    retryable = True

    def __init__(self, server: str) -> None:
        super().__init__(
            f"the connection to the daemon at {server} was lost; what it was doing goes on there:"
            " `steer get events` tells how, and running this again shows the rest"
        )


class NotTrusted(SteersmanError):
    """What answers shows another certificate than the trusted one."""


class NotADaemon(SteersmanError):
    """What answers is no daemon of ours, or one of another version."""

    def __init__(self, server: str, what: str) -> None:
        super().__init__(
            f"what answers at {server} is no steersman daemon, or one of another version: {what};"
            " `steer version` shows both"
        )


class OnlyHere(SteersmanError):
    """What no daemon gives away, or what only means something where it was written."""
