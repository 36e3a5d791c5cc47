"""One attempt to reach a host: what is known about it, and the sentence for each way to fail."""

from __future__ import annotations

import os
from dataclasses import dataclass

from steersman.api.errors import SteersmanError
from steersman.transport.errors import (
    HostKeyChanged,
    HostKeyUnknown,
    HostUnreachable,
    LinkSettingsRefused,
    LoginRefused,
    PeerRefused,
    ProtocolError,
    printable,
)
from steersman.transport.target import Target

LOGIN_SECONDS = 15


@dataclass
class Attempt:
    """Filled in while the handshake goes on; each method is what a row of rows.py points at."""

    target: Target
    login: str = ""
    tried: tuple[str, ...] = ()
    shown_key: str | None = None
    trusted_keys: tuple[str, ...] = ()

    def unreachable(self, error: BaseException) -> SteersmanError:
        return HostUnreachable(self.target.name, _said(error))

    def timed_out(self, _error: BaseException) -> SteersmanError:
        return HostUnreachable(self.target.name, f"no SSH login within {LOGIN_SECONDS} s")

    def refused(self, error: BaseException) -> SteersmanError:
        return LoginRefused(self.target.name, self.login, self.tried, _said(error))

    def host_key(self, _error: BaseException) -> SteersmanError:
        if self.shown_key is not None and not self.trusted_keys:
            return HostKeyUnknown(self.target.name, self.shown_key)
        # Revoked, or another than the trusted one: both say "not the host you know".
        return HostKeyChanged(self.target.name, self.shown_key, self.trusted_keys)

    def key_exchange(self, error: BaseException) -> SteersmanError:
        if self.trusted_keys and "host key" in str(error):
            return HostKeyChanged(self.target.name, None, self.trusted_keys)
        return self.peer(error)

    def peer(self, error: BaseException) -> SteersmanError:
        return PeerRefused(self.target.name, _said(error))

    def broken(self, error: BaseException) -> SteersmanError:
        return ProtocolError(self.target.name, _said(error))

    def settings(self, error: BaseException) -> SteersmanError:
        return LinkSettingsRefused(self.target.name, _said(error))


def _said(error: BaseException) -> str:
    if isinstance(error, OSError) and (error.errno or 0) > 0 and error.filename is None:
        # The loop says "[Errno 113] Connect call failed ('10.0.0.9', 22)" and not what happened.
        return os.strerror(error.errno or 0)
    return printable(str(error)) or type(error).__name__
