"""Lists in pages: their order, and the tokens that go on where a page ended."""

import base64
import re
from bisect import bisect_right
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self, TypeVar

from steersman.store.errors import BadToken
from steersman.store.plain import parsed, text_of
from steersman.store.protocol import Page, Query, Stored

Key = tuple[str, str]
"""The kind and the name of an object."""

Handle = TypeVar("Handle")


@dataclass(frozen=True)
class Place:
    """Where a page ended: the revision that it showed, and its last object."""

    revision: int
    after: Key

    @property
    def token(self) -> str:
        text = text_of([self.revision, *self.after])
        return base64.urlsafe_b64encode(text).decode().rstrip("=")

    @classmethod
    def read(cls, token: str) -> Self:
        """Read a token that may come from anybody; raises BadToken."""
        try:
            padded = token.encode() + b"=" * (-len(token) % 4)
            revision, kind, name = parsed(base64.b64decode(padded, b"-_", validate=True))
        except (ValueError, TypeError) as error:
            raise BadToken("it cannot be read") from error
        if not (isinstance(revision, int) and isinstance(kind, str) and isinstance(name, str)):
            raise BadToken("it says something else than a place in a list")
        return cls(revision, (kind, name))


def order(key: Key) -> tuple[str, list[tuple[int, int, str]], str]:
    """Sort by kind and name, shop-10 after shop-9."""
    kind, name = key
    return kind, [_weight(part) for part in re.findall(r"[0-9]+|[^0-9]+", name)], name


def page_of(
    held: Mapping[Key, Handle],
    load: Callable[[Handle], Stored],
    query: Query,
    revision: int,
    limit: int | None,
    after: Key | None,
) -> Page:
    """Return the page of what is `held` at a revision that begins behind `after`."""
    keys = sorted(held, key=order)
    start = bisect_right(keys, order(after), key=order) if after is not None else 0
    found: list[Stored] = []
    for number, key in enumerate(keys[start:], start):
        one = load(held[key])
        if not query.matches(one.object):
            continue
        if limit is not None and len(found) == limit:
            place = Place(revision, (found[-1].kind, found[-1].name))
            is_known = not query.labels.terms and not query.fields.terms
            remaining = len(keys) - number if is_known else None
            return Page(tuple(found), revision, place.token, remaining)
        found.append(one)
    return Page(tuple(found), revision, None, 0)


def _weight(part: str) -> tuple[int, int, str]:
    if not part.isdecimal():
        return (1, 0, part)
    digits = part.lstrip("0")
    return (0, len(digits), digits)
