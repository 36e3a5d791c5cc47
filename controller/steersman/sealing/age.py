"""age (https://age-encryption.org/v1): the only module that imports pyrage.

Recipients are age's own X25519 keys (`age1…`) and ssh-ed25519 public keys.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import pyrage  # type: ignore[import-untyped]
from pyrage import ssh, x25519

from steersman.api.errors import SteersmanError
from steersman.api.refusal import quoted

AGE_KEY = "AGE-SECRET-KEY-1"
SSH_KEY = "-----BEGIN OPENSSH PRIVATE KEY-----"


class NotSealable(SteersmanError):
    """There is nobody to seal to, or a recipient is none."""


class NotOpened(SteersmanError):
    """None of the keys opens what was sealed, or it was altered."""


class BadKey(SteersmanError):
    """A text is not a private key that can be used here."""


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A key that opens; `recipient` is its public half, None for an ssh key (its .pub has it)."""

    recipient: str | None
    opener: Any = field(repr=False)


def new_key() -> str:
    """Return a new private key, as one line of an age key file."""
    return str(x25519.Identity.generate())


def parse_key(text: str) -> PrivateKey:
    """Return a private key: a line AGE-SECRET-KEY-1…, or a whole OpenSSH key file."""
    try:
        if text.startswith(SSH_KEY):
            return PrivateKey(None, ssh.Identity.from_buffer(text.encode()))
        key = x25519.Identity.from_str(text)
        return PrivateKey(str(key.to_public()), key)
    except pyrage.IdentityError:
        # The original error may quote the key.
        raise BadKey(
            "it is neither an age key nor an ssh-ed25519 key without a passphrase;"
            " make one with `steer secret keygen`"
        ) from None


def seal(data: bytes, recipients: Iterable[str]) -> bytes:
    """Return `data` encrypted so that the key of each recipient opens it; raises NotSealable."""
    parsed = [_recipient(text) for text in dict.fromkeys(recipients)]
    if not parsed:
        raise NotSealable("there is no recipient to seal to; name one with --recipient")
    return bytes(pyrage.encrypt(data, parsed))


def open_sealed(data: bytes, keys: Sequence[PrivateKey]) -> bytes:
    """Return what was sealed; raises NotOpened."""
    try:
        return bytes(pyrage.decrypt(data, [key.opener for key in keys]))
    except pyrage.DecryptError:
        raise NotOpened(
            "none of the keys here opens it, or it was altered; use a key of one of its recipients"
        ) from None


def _recipient(text: str) -> Any:
    try:
        if text.startswith("ssh-"):
            return ssh.Recipient.from_str(text)
        return x25519.Recipient.from_str(text)
    except pyrage.RecipientError:
        raise NotSealable(
            f"{quoted(text)} is no recipient; write an age public key (age1…) or the text of an"
            " ssh-ed25519 .pub file"
        ) from None
