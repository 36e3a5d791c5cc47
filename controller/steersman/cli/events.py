"""steer events: what happened, and what happens."""

from __future__ import annotations

import asyncio

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import named
from steersman.cli.kinds import Reference, complete_objects, kind_named, references
from steersman.cli.options import common, formatted
from steersman.cli.outputs import Format
from steersman.cli.showing import Found, Style, show
from steersman.store.protocol import Query
from steersman.store.selectors import FieldSelector, FieldTerm

EVENT = kind_named("event")
TYPES = {"normal": "Normal", "warning": "Warning"}


@click.command()
@click.option(
    "--for", "subject", metavar="KIND/NAME", shell_complete=complete_objects,
    help="Only what happened to this object.",
)  # fmt: skip
@click.option("--types", metavar="TYPES", help="Only these: Normal, Warning.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and print what happens.")
@click.option("--no-headers", is_flag=True, help="Leave the titles of columns out.")
@formatted
@common
@click.pass_obj
def events(
    tools: Tools,
    subject: str | None,
    types: str | None,
    watch: bool,
    no_headers: bool,
    output: Format,
) -> None:
    """List events, oldest first; -w prints those that come until it is ended with Ctrl-C.

    \b
      steer events                    steer events --for app/shop -w
      steer events --types Warning    steer events --for host/h1 -o json
    """
    query = _query(subject, types)
    asyncio.run(_events(tools, query, Style(output, has_header=not no_headers), watch))


async def _events(tools: Tools, query: Query, style: Style, is_followed: bool) -> None:
    from steersman.cli.watching import follow

    async with tools.store() as store:
        if is_followed:
            await follow(store, query, EVENT, style, is_only=False)
        page = await store.page(query)
    ordered = sorted(page.items, key=lambda one: str(one.spec["time"]))
    found: Found = [(EVENT, one.object) for one in ordered]
    show(found, [Reference(EVENT, None)], style)


def _query(subject: str | None, types: str | None) -> Query:
    """Return the query for events of one object and of the named types; raises UsageError."""
    terms: list[FieldTerm] = []
    if subject is not None:
        ((kind, name),) = named(references([subject]))
        terms += [FieldTerm(("spec", "involved", "kind"), kind)]
        terms += [FieldTerm(("spec", "involved", "name"), name)]
    wanted = {word.strip().lower() for word in types.split(",")} if types is not None else set()
    if not wanted <= TYPES.keys():
        raise click.UsageError(f"--types {types}: the types are {' and '.join(TYPES.values())}")
    # With both named there is nothing to leave out.
    left_out = [name for word, name in TYPES.items() if wanted and word not in wanted]
    terms += [FieldTerm(("spec", "type"), name, negated=True) for name in left_out]
    return Query(frozenset({"Event"}), fields=FieldSelector(tuple(terms)))
