"""asyncssh's errors and ours: one row for each class, and nothing foreign gets past it."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import asyncssh
from asyncssh.asn1 import ASN1Error
from asyncssh.gss import GSSError  # type: ignore[attr-defined]
from asyncssh.misc import SoftEOFReceived
from asyncssh.packet import PacketDecodeError
from asyncssh.saslprep import SASLPrepError

from steersman.api.errors import SteersmanError
from steersman.transport.ssh.attempt import Attempt

# Looked up along the class's MRO: several of asyncssh's errors do not inherit asyncssh.Error, and
# its TimeoutError is a ProcessError and an OSError as well.
ROWS: Mapping[type[BaseException], Callable[[Attempt, BaseException], SteersmanError]] = {
    asyncssh.HostKeyNotVerifiable: Attempt.host_key,
    asyncssh.PermissionDenied: Attempt.refused,
    asyncssh.PasswordChangeRequired: Attempt.refused,
    asyncssh.IllegalUserName: Attempt.refused,
    asyncssh.KeyExchangeFailed: Attempt.key_exchange,
    asyncssh.ProtocolNotSupported: Attempt.peer,
    asyncssh.ServiceNotAvailable: Attempt.peer,
    asyncssh.CompressionError: Attempt.peer,
    asyncssh.ProtocolError: Attempt.broken,
    asyncssh.MACError: Attempt.unreachable,
    asyncssh.ConnectionLost: Attempt.unreachable,
    asyncssh.DisconnectError: Attempt.unreachable,
    asyncssh.ChannelOpenError: Attempt.unreachable,
    asyncssh.ChannelListenError: Attempt.unreachable,
    asyncssh.TimeoutError: Attempt.timed_out,
    asyncssh.ProcessError: Attempt.broken,
    asyncssh.SFTPError: Attempt.broken,
    asyncssh.Error: Attempt.unreachable,
    asyncssh.BreakReceived: Attempt.broken,
    asyncssh.SignalReceived: Attempt.broken,
    asyncssh.TerminalSizeChanged: Attempt.broken,
    SoftEOFReceived: Attempt.broken,
    PacketDecodeError: Attempt.broken,
    ASN1Error: Attempt.broken,
    asyncssh.KeyImportError: Attempt.settings,
    asyncssh.KeyExportError: Attempt.settings,
    asyncssh.KeyGenerationError: Attempt.settings,
    asyncssh.KeyEncryptionError: Attempt.settings,
    asyncssh.ConfigParseError: Attempt.settings,
    SASLPrepError: Attempt.settings,
    GSSError: Attempt.settings,
    TimeoutError: Attempt.timed_out,
    OSError: Attempt.unreachable,
    ValueError: Attempt.settings,
}
FOREIGN = tuple(ROWS)


def translate(error: BaseException, attempt: Attempt) -> SteersmanError:
    """Return our error for one of asyncssh's, or of the sockets and files under it."""
    row = next(ROWS[kind] for kind in type(error).__mro__ if kind in ROWS)
    return row(attempt, error)
