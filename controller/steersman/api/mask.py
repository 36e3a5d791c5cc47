"""Masks secret values in what apps and hosts say, in every form a program is likely to print."""

import base64
import html
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from steersman.api.secret import MASK, MIN_SECRET

LEAST_LINE = 12
"""The least of a line, of a value that has several, to be masked by itself: logs have lines."""
_NOT_NAME = re.compile(r"[^A-Za-z0-9_]")


class Masks:
    """Knows the values that were revealed so far; a text that passes through holds none of them.

    This is the second line: the first is that no text is made of a value.
    """

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._texts, self._names = Finder(), Finder()

    def learn(self, values: Iterable[str]) -> None:
        """Mask these values from now on; one that is too short would be found everywhere."""
        new = {value for value in values if len(value.encode()) >= MIN_SECRET} - self._values
        if not new:
            return
        self._values |= new
        parts = {part for value in new for part in parts_of(value)}
        self._texts.add(form for part in parts for form in forms_of(part))
        names = {_NOT_NAME.sub("_", part) for part in parts}
        self._names.add(name for name in names if len(name.strip("_")) >= MIN_SECRET)

    @property
    def count(self) -> int:
        """How many values are known: it grows whenever more is masked than before."""
        return len(self._values)

    def text(self, text: str) -> str:
        """Return `text` with every value masked, line by line."""
        return self._texts.masked(text, MASK)

    def name(self, name: str) -> str:
        """Return `name`, in which `_` stands for what names may not have, with values masked."""
        return self._names.masked(name, "_secret_")

    def data(self, data: object) -> object:
        """Return JSON-like data with every text in it masked."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, dict):
            return {key: self.data(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.data(each) for each in data]
        return data


class Finder:
    """Finds forms in texts: thousands of them as fast as one, by how they begin."""

    def __init__(self) -> None:
        self._forms: dict[str, set[str]] = {}
        self._short: set[str] = set()

    def add(self, forms: Iterable[str]) -> None:
        """Find these, too, from now on."""
        for form in forms:
            if len(form) < MIN_SECRET:
                self._short.add(form)
            else:
                self._forms.setdefault(form[:MIN_SECRET], set()).add(form)

    def masked(self, text: str, mask: str) -> str:
        """Return `text` with `mask` in place of every form, and of what a limit left of one."""
        forms = self._possible(text)
        if not forms:
            return text
        masked = re.sub("|".join(map(re.escape, forms)), mask, text)
        return "\n".join(_without_remains(line, mask, forms) for line in masked.split("\n"))

    def _possible(self, text: str) -> list[str]:
        """Return the forms of which `text` has at least the beginning, the longest first."""
        ends = range(MIN_SECRET, len(text) + 1)
        pieces = map(text.__getitem__, map(slice, range(len(ends)), ends))
        found = {form for piece in self._forms.keys() & pieces for form in self._forms[piece]}
        found |= {form for form in self._short if form in text}
        # A value may begin with another.
        return sorted(found, key=lambda form: (-len(form), form))


def _without_remains(line: str, mask: str, forms: list[str]) -> str:
    """Mask what a limit on lengths left of a value at the end of a line."""
    is_cut = line.endswith("…")
    body = line.removesuffix("…")
    for form in forms:
        if form[:MIN_SECRET] not in body:
            continue
        for size in range(min(len(form) - 1, len(body)), MIN_SECRET - 1, -1):
            if body.endswith(form[:size]):
                return body[:-size] + mask + ("…" if is_cut else "")
    return line


def parts_of(value: str) -> Iterator[str]:
    """Yield `value`, and each long line of one that has several."""
    yield value
    lines = value.splitlines()
    if len(lines) > 1:
        yield from (line for line in map(str.strip, lines) if len(line) >= LEAST_LINE)


def forms_of(value: str) -> Iterator[str]:
    """Yield `value` raw, quoted for Python, JSON, shells, HTML and URLs, and in base64 and hex."""
    # Supervisors are given a space for a tab.
    for plain in {value, value.replace("\t", " ")}:
        yield plain
        yield "".join(each if each.isprintable() else repr(each)[1:-1] for each in plain)
        yield shlex.quote(plain).removeprefix("'").removesuffix("'")
        yield re.sub(r'([\\"$`])', r"\\\1", plain)
        yield html.escape(plain)
        yield html.escape(plain, quote=False)
        for quoted in _quoted(plain):
            yield quoted
            # One in the other: a text of JSON in what Python prints, and a repr in a JSON line.
            yield from _quoted(quoted)
        for escaped in (quote(plain), quote(plain, safe=""), quote_plus(plain)):
            yield escaped
            yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), escaped)
        data = plain.encode()
        yield repr(data)[2:-1]
        yield data.hex()
        yield data.hex().upper()
        yield from _base64_forms(data)


def _quoted(text: str) -> Iterator[str]:
    """Yield `text` as Python and JSON write it; the latter escape some more if they like."""
    yield repr(text)[1:-1]
    for told in (json.dumps(text)[1:-1], json.dumps(text, ensure_ascii=False)[1:-1]):
        yield told
        yield told.replace("/", "\\/")
        for unsafe in ("&<>", "&<>'", "&<>'+"):
            yield "".join(f"\\u{ord(c):04x}" if c in unsafe else c for c in told)


def _base64_forms(data: bytes) -> Iterator[str]:
    """Yield what stands for `data` in base64, at each of the three places it can begin.

    Characters that depend on its neighbours are left out.
    """
    for before in range(3):
        padded = b"\0" * before + data
        text = base64.b64encode(padded).decode()
        first = (0, 2, 3)[before]
        whole = len(padded) * 8 // 6
        form = text[first:whole]
        if len(form) >= MIN_SECRET:
            yield form
            yield form.translate(str.maketrans("+/", "-_"))
