"""The names that people give to kinds, and to objects of a kind."""

import asyncio
from collections.abc import Callable, Sequence
from typing import NamedTuple

import click

from steersman.store.paths import state_dir


class Kind(NamedTuple):
    """`kind` as manifests say it, `plural` and `short` as the command line does."""

    kind: str
    plural: str
    short: str

    @property
    def singular(self) -> str:
        return self.kind.lower()


KINDS = (
    Kind("App", "apps", "app"),
    Kind("Host", "hosts", "ho"),
    Kind("Secret", "secrets", "sec"),
    Kind("Job", "jobs", "job"),
    Kind("Repository", "repositories", "repo"),
    Kind("Plugin", "plugins", "plug"),
    Kind("Release", "releases", "rel"),
    Kind("Event", "events", "ev"),
    Kind("Generation", "generations", "gen"),
    Kind("Installation", "installations", "inst"),
)
# What `get all` lists, most asked-for first; events are many, generations are the hosts', and
# `chart list` tells of installations.
ALL = KINDS[:7]


class Reference(NamedTuple):
    """One object, or every object of a kind when there is no name."""

    kind: Kind
    name: str | None


def kind_named(word: str) -> Kind:
    """Return the kind that `word` means; raises UsageError with the kinds there are."""
    for kind in KINDS:
        if word.lower() in (kind.singular, kind.plural, kind.short):
            return kind
    known = ", ".join(kind.plural for kind in KINDS)
    raise click.UsageError(f"there is no kind {word!r}; the kinds are {known}")


def references(words: Sequence[str]) -> list[Reference]:
    """Read `app`, `app,host`, `all`, `app shop blog` or `app/shop host/h1`; raises UsageError."""
    if any("/" in word for word in words):
        return [_slashed(word) for word in words]
    kinds = [kind for word in words[0].split(",") for kind in _kinds(word)]
    if len(words) == 1:
        return [Reference(kind, None) for kind in kinds]
    if len(kinds) > 1:
        raise click.UsageError(f"names need one kind; write them as {kinds[0].singular}/NAME")
    return [Reference(kinds[0], name) for name in words[1:]]


def complete_kinds(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    return [kind.plural for kind in KINDS if kind.plural.startswith(incomplete)]


def complete_objects(ctx: click.Context, param: click.Parameter, incomplete: str) -> list[str]:
    """Complete kinds, then names of the kind; `app/` completes to the names of apps."""
    given = ctx.params.get(param.name or "") or ()
    if given:
        return _names(given[0], incomplete)
    word, slash, name = incomplete.partition("/")
    if slash:
        return [f"{word}/{found}" for found in _names(word, name)]
    return complete_kinds(ctx, param, incomplete)


def complete_named(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes the names of objects of one kind."""
    return lambda ctx, param, incomplete: _names(kind, incomplete)


def _names(word: str, incomplete: str) -> list[str]:
    from steersman.store.sqlite import SqliteStore

    async def stored(kind: Kind) -> list[str]:
        async with SqliteStore() as store:
            return [one.name for one in await store.list(kind.kind)]

    if not (state_dir() / "state.db").exists():
        return []
    return [name for name in asyncio.run(stored(kind_named(word))) if name.startswith(incomplete)]


def _slashed(word: str) -> Reference:
    kind, slash, name = word.partition("/")
    if not slash or not name:
        raise click.UsageError(f"{word!r} is not KIND/NAME, as the others are")
    return Reference(kind_named(kind), name)


def _kinds(word: str) -> Sequence[Kind]:
    return ALL if word == "all" else (kind_named(word),)
