"""Text for a terminal: what colour depends on, and what a terminal must never be sent."""

import os
from typing import TextIO

from steersman.api.printing import printable as printable


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
