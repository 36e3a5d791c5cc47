"""Label selectors: kubectl's `-l`."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from steersman.api.labels import Term
from steersman.store.errors import BadSelector

_KEY = r"[A-Za-z0-9](?:[A-Za-z0-9._/-]*[A-Za-z0-9])?"
_VALUE = r"(?:[A-Za-z0-9](?:[A-Za-z0-9._-]*[A-Za-z0-9])?)?"
_EQUALITY = re.compile(rf"({_KEY})\s*(==|=|!=)\s*({_VALUE})")
_SET = re.compile(rf"({_KEY})\s+(in|notin)\s*\(([^()]*)\)")
_EXISTS = re.compile(rf"(!?)\s*({_KEY})")
_COMMA_OUTSIDE_PARENTHESES = re.compile(r",(?![^()]*\))")


@dataclass(frozen=True)
class Selector:
    """Every term must match; no terms match everything."""

    terms: tuple[Term, ...] = ()

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(term.matches(labels) for term in self.terms)

    @classmethod
    def parse(cls, text: str) -> Self:
        """Read `role=web,tier in (a, b),!old`; raises BadSelector."""
        pieces = [piece.strip() for piece in _COMMA_OUTSIDE_PARENTHESES.split(text)]
        return cls(tuple(_term(text, piece) for piece in pieces if text.strip()))


def _term(text: str, piece: str) -> Term:
    readers: tuple[tuple[re.Pattern[str], Callable[[re.Match[str]], Term]], ...] = (
        (_SET, lambda m: Term(m[1], _values(text, piece, m[3]), m[2] == "notin")),
        (_EQUALITY, lambda m: Term(m[1], frozenset({m[3]}), m[2] == "!=")),
        (_EXISTS, lambda m: Term(m[2], None, m[1] == "!")),
    )
    for pattern, read in readers:
        found = pattern.fullmatch(piece)
        if found is not None:
            return read(found)
    raise BadSelector(text, piece)


def _values(text: str, piece: str, inside: str) -> frozenset[str]:
    values = frozenset(value.strip() for value in inside.split(","))
    if not all(re.fullmatch(_VALUE, value) for value in values):
        raise BadSelector(text, piece)
    return values
