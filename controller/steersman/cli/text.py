"""Text for a terminal: what colour depends on, and what a terminal must never be sent."""

import os
import re
from typing import TextIO

# C0 but tab and newline, DEL, C1, and the marks that turn the direction of writing.
_DANGEROUS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return `text` with control characters written out: hosts and apps choose parts of it."""
    return _DANGEROUS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)


def one_line(text: str) -> str:
    """Return `text` fit for one cell of a table."""
    return printable(text).replace("\n", "\\n").replace("\t", " ")


def is_colourful(stream: TextIO) -> bool:
    """Return whether to colour (no-color.org): NO_COLOR, then FORCE_COLOR, then the terminal."""
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"
