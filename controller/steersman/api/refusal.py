"""Why a value is refused: what was found, what is allowed, and where inside the value."""

from collections.abc import Sequence

from steersman.api.errors import SteersmanError

Path = tuple[str | int, ...]


class Refused(SteersmanError, ValueError):
    """A value breaks a rule of the API.

    It is a ValueError so that pydantic collects it with the others. `at` is the path of the
    culprit below the value that was checked; `others` are further refusals found beside this one.
    """

    def __init__(self, found: str, allowed: str, *, at: Path = ()) -> None:
        super().__init__(f"found {found}; allowed: {allowed}")
        self.found = found
        self.allowed = allowed
        self.at = at
        self.others: tuple[Refused, ...] = ()


def refuse_all(refusals: Sequence[Refused]) -> None:
    """Raise the first refusal, carrying the rest; return when there is none."""
    if refusals:
        first, *rest = refusals
        first.others = tuple(rest)
        raise first


def quoted(value: object, limit: int = 60) -> str:
    """Return `value` as quoted text that is safe to print, shortened to `limit` characters."""
    text = str(value)
    shown = text if len(text) <= limit else f"{text[:limit]}…"
    return '"' + "".join(_printable(char) for char in shown) + '"'


def _printable(char: str) -> str:
    if char in {'"', "\\"}:
        return f"\\{char}"
    if char.isprintable():
        return char
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
