"""Foreign text made safe for terminals, logs and error messages."""

import re
import unicodedata

_LIMIT = 500
_HTTP_USER = re.compile(r"(?i)\b(https?://)[^/\s@]*@")
_SSH_PASSWORD = re.compile(r"(?i)\b(ssh://[^/\s:@]*):[^/\s@]*@")


def printable(text: str, limit: int = _LIMIT) -> str:
    """Return `text` cut at `limit`, with control and direction-changing characters as `\\xNN`."""
    shown = "".join(char if _is_plain(char) else _escaped(char) for char in text[: limit + 1])
    return shown if len(text) <= limit else shown[:limit] + "…"


def without_credentials(text: str) -> str:
    """Return `text` with the user part of web addresses and SSH passwords cut out."""
    return _SSH_PASSWORD.sub(r"\1@", _HTTP_USER.sub(r"\1", text))


def clean(text: str) -> str:
    """Return foreign text as it may appear in an error: printable and without credentials."""
    return printable(without_credentials(text.strip()))


def _is_plain(char: str) -> bool:
    return char == " " or unicodedata.category(char)[0] in "LMNPS"


def _escaped(char: str) -> str:
    if char == "\t":
        return "    "
    return "".join(f"\\x{byte:02x}" for byte in char.encode("utf-8", "surrogateescape"))
