"""A planted fault: one text of one file, replaced, and the test that notices."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


class Gone(Exception):
    """The text that a fault replaces is not there, or not only once."""


@dataclass(frozen=True)
class Fault:
    """`test` is what pytest is given; `old` stands in `file` exactly once."""

    name: str
    file: str
    old: str
    new: str
    test: str

    def planted_in(self, text: str) -> str:
        """Return `text` with the fault in it; raises Gone."""
        count = text.count(self.old)
        if count != 1:
            raise Gone(
                f"{self.name}: {self.file} has its text {count} times, not once:\n{self.old}\n"
                "change the row in tests/mutations to what the code is now"
            )
        return text.replace(self.old, self.new)

    def plant(self, root: Path) -> str:
        """Put the fault into a copy of the tree; return what was there."""
        path = root / self.file
        was = path.read_text()
        path.write_text(self.planted_in(was))
        return was
