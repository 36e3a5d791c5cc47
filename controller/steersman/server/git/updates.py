"""What a push asks for: refs, and the commits that they are to be moved between."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field

from steersman.api.errors import SteersmanError
from steersman.api.refusal import Refused
from steersman.api.source import check_ref
from steersman.builds.text import printable

MOST_REFS = 1000

_OBJECT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_KINDS = ("refs/heads/", "refs/tags/")


class PushRefused(SteersmanError):
    """A push is not taken; the sentence is for the terminal of who pushed."""


@dataclass(frozen=True, slots=True)
class Update:
    """One ref and the objects that it is at and shall be at; None where there is no ref."""

    ref: str
    old: str | None
    new: str | None


@dataclass(frozen=True, slots=True)
class Push:
    """All that one push wants of an app's repository; `quarantine` holds what it brought."""

    app: str
    key: str
    updates: tuple[Update, ...] = ()
    quarantine: str = field(default="", repr=False)

    def of(self, ref: str) -> Update | None:
        """Return what is wanted of a ref, by its full name."""
        return next((update for update in self.updates if update.ref == ref), None)


def read_updates(commands: object) -> tuple[Update, ...]:
    """Return what the hook was told, in git's words; raises PushRefused for what is not for us."""
    if not isinstance(commands, list) or not all(_is_command(each) for each in commands):
        raise PushRefused("git told what cannot be read; push again with a newer git")
    if len(commands) > MOST_REFS:
        raise PushRefused(f"{len(commands)} refs in one push; push at most {MOST_REFS} at a time")
    return tuple(_update(old, new, ref) for old, new, ref in commands)


def _is_command(words: object) -> bool:
    return isinstance(words, list) and len(words) == 3 and all(isinstance(w, str) for w in words)


def _update(old: str, new: str, ref: str) -> Update:
    kind = next((kind for kind in _KINDS if ref.startswith(kind)), None)
    if kind is None:
        raise PushRefused(f"{printable(ref)}: push branches (refs/heads/) and tags (refs/tags/)")
    try:
        check_ref(ref.removeprefix(kind))
    except Refused as refused:
        raise PushRefused(f"{printable(ref)}: {refused}; give it another name") from refused
    if not _OBJECT.fullmatch(old) or not _OBJECT.fullmatch(new):
        raise PushRefused(f"{printable(ref)}: git named no object; push again")
    return Update(ref, _or_none(old), _or_none(new))


def _or_none(sha: str) -> str | None:
    return sha if sha.strip("0") else None


def short(ref: str) -> str:
    """Return a ref as people say it: `main` for `refs/heads/main`."""
    return ref.removeprefix(_KINDS[0]).removeprefix(_KINDS[1])


def summary(updates: Sequence[Update]) -> str:
    """Return the refs of a push in a few words, for a log."""
    names = [short(update.ref) for update in updates[:5]]
    return ", ".join(names) + (f" and {len(updates) - 5} more" if len(updates) > 5 else "")
