"""Objects as they are, and then as they change: what -w and `steer wait` stand on."""

from __future__ import annotations

import sys
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing
from datetime import UTC, datetime

import click

from steersman.cli.columns import Object
from steersman.cli.kinds import Kind
from steersman.cli.outputs import write_template
from steersman.cli.showing import Style, rows_for
from steersman.cli.text import one_line
from steersman.store.errors import Compacted
from steersman.store.protocol import EVENT, Change, ObjectStore, Query, Stored


async def changes(store: ObjectStore, query: Query, since: int) -> AsyncGenerator[Change]:
    """Yield what changes after a revision, without bookmarks.

    Who is so slow that the history is not kept is told of every object as it is then.
    """
    while True:
        try:
            async with aclosing(store.watch(since, query)) as watch:
                async for change in watch:
                    since = change.revision
                    if change.type != "BOOKMARK":
                        yield change
        except Compacted:
            page = await store.page(query)
            since = page.revision
            for one in page.items:
                yield Change("MODIFIED", since, one.kind, one.name, _body(one), one.managed)


def _body(stored: Stored) -> bytes:
    import orjson

    return orjson.dumps(stored.object)


class Stream:
    """Prints objects one by one, as a table whose columns grow, or as documents."""

    def __init__(self, kind: Kind, style: Style) -> None:
        self._kind = kind
        self._style = style
        self._widths: list[int] = []

    def show(self, objects: Sequence[Object]) -> None:
        """Print objects, at once: whoever reads along waits for each."""
        name = self._style.format.name
        if self._style.format.is_table:
            self._rows(rows_for(self._kind, objects, self._style, datetime.now(UTC)))
        elif name == "name":
            for one in objects:
                click.echo(f"{self._kind.singular}/{one['metadata']['name']}")
        elif self._style.format.template:
            for one in objects:
                click.echo(write_template(self._style.format, one), nl=False)
        else:
            self._documents(objects, name)
        sys.stdout.flush()

    def _documents(self, objects: Sequence[Object], name: str) -> None:
        from steersman.cli.documents import write_documents

        for one in objects:
            text = write_documents([one], name)
            click.echo(("---\n" if name == "yaml" else "") + text, nl=False)

    def _rows(self, rows: Sequence[Sequence[str]]) -> None:
        is_first = not self._widths
        cells = [[one_line(cell) for cell in row] for row in rows]
        known = self._widths or [0] * len(rows[0])
        shown = cells if is_first and self._style.has_header else cells[1:]
        for row in cells if is_first else shown:
            known = [max(width, len(cell)) for width, cell in zip(known, row, strict=True)]
        self._widths = known
        for row in shown:
            line = "   ".join(c.ljust(width) for c, width in zip(row, known, strict=True))
            click.echo(line.rstrip())


async def follow(
    store: ObjectStore, query: Query, kind: Kind, style: Style, *, is_only: bool
) -> None:
    """Print what there is, unless `is_only` changes are wanted, and then each change, for ever."""
    stream, page = Stream(kind, style), await store.page(query)
    if page.items and not is_only:
        stream.show([_object(each, style) for each in _in_order(page.items)])
    async with aclosing(changes(store, query, page.revision)) as following:
        async for change in following:
            stream.show([_object(change.stored, style)])


def _object(stored: Stored, style: Style) -> Object:
    return stored.shown if style.has_managed_fields else stored.object


def _in_order(found: Sequence[Stored]) -> list[Stored]:
    """Return events by their time; other objects have none and stay in the order of names."""
    return sorted(found, key=lambda one: str(one.spec["time"]) if one.kind == EVENT else "")
