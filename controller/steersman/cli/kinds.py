"""The names that people give to kinds, and to objects of a kind."""

import asyncio
import importlib
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

import click

from steersman.api.errors import SteersmanError

if TYPE_CHECKING:
    from steersman.cli.app import Tools

PATIENCE = 3.0
"""Seconds that a daemon has to name its objects to a shell that completes a word."""


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
    Kind("Error", "errors", "err"),
    Kind("Installation", "installations", "inst"),
)
NOT_STORED = frozenset({"Generation", "Error"})
"""Kinds that are no objects of the store: hosts know generations, and errors have their own."""
# What `get all` lists, most asked-for first; events and errors are many, generations are the
# hosts', and `chart list` tells of installations.
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
        return _names(ctx, given[0], incomplete)
    word, slash, name = incomplete.partition("/")
    if slash:
        return [f"{word}/{found}" for found in _names(ctx, word, name)]
    return complete_kinds(ctx, param, incomplete)


def complete_named(kind: str) -> Callable[[click.Context, click.Parameter, str], list[str]]:
    """Return what completes the names of objects of one kind."""
    return lambda ctx, param, incomplete: _names(ctx, kind, incomplete)


def _names(ctx: click.Context, word: str, incomplete: str) -> list[str]:
    """Return the names that the context's controller knows; none where it does not say in time."""
    from steersman.cli.app import Tools

    tools = ctx.find_object(Tools) or Tools()
    try:
        names = asyncio.run(_known(tools, kind_named(word).kind))
    except (SteersmanError, click.UsageError, TimeoutError):
        # Whoever presses a key wants a name, or nothing: a message would garble the line.
        return []
    return [name for name in names if name.startswith(incomplete)]


async def _known(tools: "Tools", kind: str) -> list[str]:
    if tools.daemon() is not None:
        # It is the daemon that has so long to answer: Python takes what it needs before.
        importlib.import_module("steersman.client.work")
    elif not (tools.folder / "state.db").exists():
        return []
    opened = tools.store()
    async with asyncio.timeout(PATIENCE), opened as store:
        return [one.name for one in await store.list(kind)]


def _slashed(word: str) -> Reference:
    kind, slash, name = word.partition("/")
    if not slash or not name:
        raise click.UsageError(f"{word!r} is not KIND/NAME, as the others are")
    return Reference(kind_named(kind), name)


def _kinds(word: str) -> Sequence[Kind]:
    return ALL if word == "all" else (kind_named(word),)
