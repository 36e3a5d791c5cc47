"""What a terminal and a log must never be sent; imports nothing, for `steer --help` pays for it."""

import re

# C0 but tab and newline, DEL, C1, and the marks that turn the direction of writing.
_DANGEROUS = re.compile("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")


def printable(text: str) -> str:
    """Return `text` with control characters written out: hosts and apps choose parts of it."""
    return _DANGEROUS.sub(lambda found: f"\\x{ord(found[0]):02x}", text)
