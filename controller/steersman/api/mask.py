"""Masks secret values in what apps and hosts say, in every form a program is likely to print."""

import base64
import json
import re
import shlex
from collections.abc import Iterable, Iterator
from urllib.parse import quote, quote_plus

from steersman.api.secret import MASK, MIN_SECRET


class Masks:
    """Knows the values that were revealed so far; a text that passes through holds none of them.

    This is the second line: the first is that no text is made of a value.
    """

    def __init__(self) -> None:
        self._values: set[str] = set()
        self._forms: tuple[str, ...] = ()
        self._beginnings: frozenset[str] = frozenset()
        self._short: tuple[str, ...] = ()
        self._pattern: re.Pattern[str] | None = None

    def learn(self, values: Iterable[str]) -> None:
        """Mask these values from now on; one that is too short would be found everywhere."""
        new = {value for value in values if len(value.encode()) >= MIN_SECRET} - self._values
        if not new:
            return
        self._values |= new
        found = {form for value in self._values for form in forms_of(value)}
        # The longest first: a value may begin with another.
        self._forms = tuple(sorted(found, key=lambda form: (-len(form), form)))
        self._beginnings = frozenset(form[:MIN_SECRET] for form in found)
        self._short = tuple(form for form in found if len(form) < MIN_SECRET)
        self._pattern = re.compile("|".join(map(re.escape, self._forms)))

    def text(self, text: str) -> str:
        """Return `text` with every value masked, line by line."""
        if self._pattern is None or not self._may_hold_one(text):
            return text
        masked = self._pattern.sub(MASK, text)
        return "\n".join(map(self._without_remains, masked.split("\n")))

    def data(self, data: object) -> object:
        """Return JSON-like data with every text in it masked."""
        if isinstance(data, str):
            return self.text(data)
        if isinstance(data, dict):
            return {key: self.data(value) for key, value in data.items()}
        if isinstance(data, list | tuple):
            return [self.data(each) for each in data]
        return data

    def _may_hold_one(self, text: str) -> bool:
        """Return whether the beginning of any form is in `text`.

        Looking up each piece of the text costs the same for a thousand forms as for one.
        """
        ends = range(MIN_SECRET, len(text) + 1)
        pieces = map(text.__getitem__, map(slice, range(len(ends)), ends))
        return not self._beginnings.isdisjoint(pieces) or any(each in text for each in self._short)

    def _without_remains(self, line: str) -> str:
        """Mask what a limit on lengths left of a value at the end of a line."""
        is_cut = line.endswith("…")
        body = line.removesuffix("…")
        for form in self._forms:
            if form[:MIN_SECRET] not in body:
                continue
            for size in range(min(len(form) - 1, len(body)), MIN_SECRET - 1, -1):
                if body.endswith(form[:size]):
                    return body[:-size] + MASK + ("…" if is_cut else "")
        return line


def forms_of(value: str) -> Iterator[str]:
    """Yield `value` raw, quoted for Python, JSON, shells and URLs, and in base64 and hex."""
    # Supervisors are given a space for a tab.
    for plain in {value, value.replace("\t", " ")}:
        yield plain
        yield repr(plain)[1:-1]
        yield "".join(each if each.isprintable() else repr(each)[1:-1] for each in plain)
        yield json.dumps(plain)[1:-1]
        yield json.dumps(plain, ensure_ascii=False)[1:-1]
        yield shlex.quote(plain).removeprefix("'").removesuffix("'")
        yield re.sub(r'([\\"$`])', r"\\\1", plain)
        for escaped in (quote(plain), quote(plain, safe=""), quote_plus(plain)):
            yield escaped
            yield re.sub("%[0-9A-F]{2}", lambda found: found[0].lower(), escaped)
        data = plain.encode()
        yield data.hex()
        yield data.hex().upper()
        yield from _base64_forms(data)


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
