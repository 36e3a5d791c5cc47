"""What is wrong with a manifest: where, what was found, what is allowed, and the line itself."""

from collections.abc import Sequence
from dataclasses import dataclass

from steersman.api.errors import SteersmanError
from steersman.api.refusal import Path

_WIDTH = 100


@dataclass(frozen=True, slots=True)
class Mark:
    """A position in a file: line and column count from 1."""

    line: int
    column: int


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing to fix. `excerpt` is the source line, or None where it may hold a secret."""

    file: str
    mark: Mark | None
    path: str
    found: str
    allowed: str
    hint: str | None = None
    excerpt: str | None = None

    @property
    def where(self) -> str:
        """The place as editors and terminals link it: `file:line:column`."""
        return f"{self.file}:{self.mark.line}:{self.mark.column}" if self.mark else self.file

    @property
    def message(self) -> str:
        """One sentence, without the place."""
        path = f"{self.path}: " if self.path else ""
        hint = f"; {self.hint}" if self.hint is not None else ""
        return f"{path}found {self.found}; allowed: {self.allowed}{hint}"

    def __str__(self) -> str:
        text = f"{self.where}: {self.message}"
        if self.mark is None or self.excerpt is None:
            return text
        return f"{text}\n{_pointed_at(self.excerpt, self.mark)}"


class ManifestErrors(SteersmanError):
    """Everything that is wrong with the manifests, in the order in which it is read."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(problems)
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            "\n".join(str(problem) for problem in problems)
            + f"\n{count} in the manifests; fix what is named above (`steer schema` lists every "
            "key) and try again"
        )


def dotted(path: Path) -> str:
    """Return a path as people write it: `spec.routes[0].host`."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            plain = part.replace("-", "").replace("_", "").isalnum()
            shown = part if plain else f'"{_tame(part)}"'
            text += f".{shown}" if text else shown
    return text


def _pointed_at(line: str, mark: Mark) -> str:
    start = max(0, mark.column - _WIDTH * 3 // 4)
    shown = _tame(line[start : start + _WIDTH]).rstrip()
    gutter = f"{mark.line:5d} | "
    return f"{gutter}{shown}\n{' ' * 6}| {' ' * (mark.column - 1 - start)}^"


def _tame(text: str) -> str:
    # One column each, so that the caret stays under its culprit; nothing a terminal would obey.
    return "".join(char if char.isprintable() else " " for char in text)
