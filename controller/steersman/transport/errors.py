"""What can go wrong between the controller and one host, as sentences."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from steersman.api.errors import HostUnreachable, SteersmanError
from steersman.api.mask import Masks

__all__ = [
    "BlobUnreadable",
    "BundleRefused",
    "CallTimedOut",
    "HandError",
    "HandFailed",
    "HostBusy",
    "HostKeyChanged",
    "HostKeyUnknown",
    "HostUnreachable",
    "IdentityLocked",
    "LinkSettingsRefused",
    "LoginRefused",
    "PeerRefused",
    "ProtocolError",
    "PythonMissing",
    "PythonTooOld",
    "StaleEpoch",
    "StreamOverrun",
    "SudoRefused",
    "hand_error",
    "printable",
]


def printable(text: str, limit: int = 500) -> str:
    """Escape what a host said, so that it can neither drive a terminal nor forge a log line."""
    escaped = "".join(
        char if char.isprintable() else char.encode("unicode_escape").decode() for char in text
    )
    return escaped if len(escaped) <= limit else escaped[: limit - 1] + "…"


class _HostError(SteersmanError):
    def __init__(self, host: str, sentence: str) -> None:
        super().__init__(f"host {host}: {sentence}")
        self.host = host


class HostKeyUnknown(_HostError):
    """Nobody has said yet which key this host has."""

    def __init__(self, host: str, fingerprint: str) -> None:
        super().__init__(
            host,
            f"its key {fingerprint} is not known; compare it with what "
            f"`ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub` prints on the host, "
            f"then run `steer host trust {host}`",
        )
        self.fingerprint = fingerprint


class HostKeyChanged(_HostError):
    """The host shows another key than the trusted one: a new host, or somebody in between."""

    def __init__(self, host: str, fingerprint: str | None, trusted: Sequence[str]) -> None:
        shown = fingerprint if fingerprint is not None else "no key of a trusted kind"
        super().__init__(
            host,
            f"it shows {shown} but {' or '.join(trusted) or 'no key'} is trusted; this may be "
            f"somebody in between. If the host was really made anew, change its pinned key or run "
            f"`steer host trust {host} --replace`",
        )
        self.fingerprint = fingerprint


class LoginRefused(_HostError):
    """The host is there and takes none of our keys."""

    def __init__(self, host: str, login: str, tried: Sequence[str], why: str = "") -> None:
        keys = ", ".join(tried) if tried else "no key was found"
        detail = f" ({why})" if why else ""
        super().__init__(
            host,
            f"{login} was refused{detail}; tried: {keys}. Add one of these public keys to the "
            f"user's ~/.ssh/authorized_keys there, or set `user` and `identity` of the Host",
        )


class IdentityLocked(_HostError):
    """The private key is encrypted and no agent holds it."""

    def __init__(self, host: str, identity: str) -> None:
        super().__init__(
            host,
            f"the private key {identity} is encrypted and no agent holds it; run `ssh-add "
            f"{identity}`, or name another `identity` in the Host",
        )


class LinkSettingsRefused(_HostError):
    """What the manifest or ssh_config says about the connection cannot be used."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(host, f"{why}; correct the Host's connection settings or ~/.ssh/config")


class PeerRefused(_HostError):
    """What answers on the port is no SSH server that can be talked to safely."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(
            host, f"{why}; check its port, and update its SSH server if it is older than 2018"
        )


class ProtocolError(_HostError):
    """The host sent what no hand sends: it is broken or hostile, and the link is dropped."""

    def __init__(self, host: str, why: str) -> None:
        super().__init__(
            host, f"its answer broke the protocol: {why}; run `steer host check {host}`"
        )
        self.why = why


class PythonMissing(_HostError):
    def __init__(self, host: str) -> None:
        super().__init__(
            host,
            f"it has no python3 on its PATH; install Python 3.9 or later there "
            f"(`apt-get install python3`), then run `steer host check {host}`",
        )


class PythonTooOld(_HostError):
    def __init__(self, host: str, version: str) -> None:
        super().__init__(
            host,
            f"its python3 is {version} and 3.9 is the oldest that works; install a newer one, "
            f"then run `steer host check {host}`",
        )


class SudoRefused(_HostError):
    """`sudo -n` said no."""

    def __init__(self, host: str, said: str) -> None:
        super().__init__(
            host,
            f"sudo refused to start python3 without a password ({said}); give the user a NOPASSWD "
            f"rule or set `become: none` in the Host, then run `steer host check {host}`",
        )


class BundleRefused(_HostError):
    """The host did not get the hand's bytes as they were sent."""

    retryable: ClassVar[bool] = True

    def __init__(self, host: str, said: str) -> None:
        super().__init__(host, f"{said}; try again, or run `steer host check {host}`")


class HandFailed(_HostError):
    """The hand ended by itself; what it said last is in the message and in `output`."""

    retryable: ClassVar[bool] = True

    def __init__(self, host: str, how: str, output: Sequence[str]) -> None:
        said = "; it said:\n  " + "\n  ".join(output) + "\n" if output else " without a word, "
        super().__init__(host, f"its hand {how}{said}run `steer host check {host}`")
        self.output = tuple(output)


class BlobUnreadable(_HostError):
    """A file changed while it was sent: the host would only refuse its digest."""

    def __init__(self, host: str, path: str) -> None:
        super().__init__(host, f"{path} became shorter while it was sent; build it again")


class CallTimedOut(_HostError):
    retryable: ClassVar[bool] = True

    def __init__(self, host: str, op: str, seconds: float) -> None:
        super().__init__(
            host,
            f"no answer to {op} within {seconds:g} s; see its load, or run "
            f"`steer host check {host}`",
        )


class StreamOverrun(_HostError):
    """The host ignored its credit and sent more than the reader can hold."""

    retryable: ClassVar[bool] = True

    def __init__(self, host: str, op: str) -> None:
        super().__init__(host, f"it sent {op} faster than it was read; start reading again")


class HandError(_HostError):
    """The hand answered with an error; `kind` is its word and `detail` the rest of its answer."""

    def __init__(
        self, host: str, kind: str, message: str, detail: Mapping[str, Any] | None = None
    ) -> None:
        super().__init__(host, message)
        self.kind = kind
        self.message = message
        self.detail: Mapping[str, Any] = detail if detail is not None else {}

    def through(self, masks: Masks) -> HandError:
        """Return this error without the values that `masks` knows."""
        detail = {key: masks.data(value) for key, value in self.detail.items()}
        return type(self)(self.host, self.kind, masks.text(self.message), detail)


class StaleEpoch(HandError):
    """A newer controller has taken over this host: this one must stop, not retry."""


class HostBusy(HandError):
    """Another controller holds the host's lock just now."""

    retryable: ClassVar[bool] = True


_KINDS: Mapping[str, type[HandError]] = {"stale": StaleEpoch, "busy": HostBusy}


def hand_error(host: str, error: object) -> HandError:
    """Return the exception for the `error` of a reply; whatever it holds is taken as data."""
    fields = error if isinstance(error, dict) else {}
    kind = printable(str(fields.get("kind", "unknown")), 40)
    message = printable(str(fields.get("message", "the hand gave no reason")), 4000)
    detail = {key: value for key, value in fields.items() if key not in ("kind", "message")}
    return _KINDS.get(kind, HandError)(host, kind, message, detail)
