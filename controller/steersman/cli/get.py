"""steer get: what is remembered, as a table, names or documents."""

import asyncio
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import groupby

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.jobs_now import refresh_jobs
from steersman.cli.kinds import Kind, Reference, complete_objects, references
from steersman.cli.options import common, output, selector
from steersman.cli.tables import Object, rows_of, table
from steersman.store.errors import NotStored
from steersman.store.protocol import Event, Store
from steersman.store.selectors import Selector

_EVENTS = 200

Found = list[tuple[Kind, Object]]


@click.command()
@click.argument("what", nargs=-1, required=True, shell_complete=complete_objects)
@output()
@selector
@common
@click.pass_obj
def get(tools: Tools, what: tuple[str, ...], output: str | None, selector: str | None) -> None:
    """List objects: apps, hosts, secrets, jobs, releases, events, all; or what runs: generations.

    How jobs' runs went is asked of their hosts; those that are slow are left out.

    \b
      steer get apps                 steer get app shop -o yaml
      steer get app,host -o wide     steer get app/shop host/h1
      steer get all -l tier=front    steer get jobs
      steer get generations shop     steer get events
    """
    wanted = references(what)
    if selector is not None and any(each.name is not None for each in wanted):
        raise click.UsageError("-l chooses objects by their labels; leave the names out")
    chosen = Selector.parse(selector) if selector is not None else None
    found, missing = asyncio.run(_collect(tools, wanted, chosen))
    running = [each for each in wanted if each.kind.kind == "Generation"]
    if running and chosen is not None:
        raise click.UsageError("generations have no labels; name their app instead")
    for each in running:
        found += _running(tools, each)
    _print(found, wanted, output)
    if missing:
        raise ExceptionGroup("not found", missing)


def _running(tools: Tools, wanted: Reference) -> Found:
    """Return generations, which only the hosts know; their name is their app's."""
    from steersman.cli.generations import read_generations

    return [(wanted.kind, one) for one in asyncio.run(read_generations(tools, wanted.name))]


async def _collect(
    tools: Tools, wanted: Sequence[Reference], chosen: Selector | None
) -> tuple[Found, list[SteersmanError]]:
    found: Found = []
    missing: list[SteersmanError] = []
    if any(each.kind.kind == "Job" for each in wanted):
        await refresh_jobs(tools, [each.name for each in wanted if each.kind.kind == "Job"])
    async with tools.store() as store:
        for each in wanted:
            if each.kind.kind == "Generation":
                continue
            objects = await _read(store, each, chosen)
            if not objects and each.name is not None:
                missing.append(NotStored(each.kind.kind, each.name))
            found += [(each.kind, one) for one in objects]
    return found, missing


async def _read(store: Store, wanted: Reference, chosen: Selector | None) -> list[Object]:
    if wanted.kind.kind == "Event":
        events = [event_object(each) for each in await store.events(limit=_EVENTS)]
        named = (each for each in events if wanted.name in (None, each["metadata"]["name"]))
        return [each for each in named if chosen is None or chosen.matches({})]
    if wanted.name is not None:
        stored = await store.get(wanted.kind.kind, wanted.name)
        return [stored.object] if stored is not None else []
    return [stored.object for stored in await store.list(wanted.kind.kind, chosen)]


def event_object(event: Event) -> Object:
    """Return an event in the shape of the api's kind."""
    spec = {
        "involved": {"kind": event.kind, "name": event.name},
        "type": event.type,
        "reason": event.reason,
        "message": event.message,
        "time": event.last,
        "count": event.count,
        **({"host": event.host} if event.host is not None else {}),
    }
    metadata = {"name": f"{event.name}-{event.id}", "creationTimestamp": event.first}
    return {"apiVersion": "steersman/v1", "kind": "Event", "metadata": metadata, "spec": spec}


def _print(found: Found, wanted: Sequence[Reference], output: str | None) -> None:
    if output in ("json", "yaml"):
        _print_documents([one for _, one in found], wanted, output)
    elif not found:
        if all(each.name is None for each in wanted):
            names = ", ".join(each.kind.plural for each in wanted)
            click.echo(f"no {names} found", err=True)
    elif output == "name":
        for kind, one in found:
            click.echo(f"{kind.singular}/{one['metadata']['name']}")
    else:
        _print_tables(found, output == "wide")


def _print_documents(objects: Sequence[Object], wanted: Sequence[Reference], output: str) -> None:
    from steersman.cli.documents import write_documents

    # A generation's name is its app's, which has many.
    has_one_name = len(wanted) == 1 and wanted[0].name is not None
    is_one = has_one_name and wanted[0].kind.kind != "Generation"
    if is_one and not objects:
        return
    click.echo(write_documents(objects, output, as_list=not is_one), nl=False)


def _print_tables(found: Found, wide: bool) -> None:
    now = datetime.now(UTC)
    groups = [(kind, [one for _, one in each]) for kind, each in groupby(found, lambda f: f[0])]
    for number, (kind, objects) in enumerate(groups):
        rows = rows_of(kind.kind, objects, wide, now)
        # Among several kinds a name alone says too little.
        if len(groups) > 1 and rows[0][0] == "NAME":
            rows = [rows[0], *([f"{kind.singular}/{row[0]}", *row[1:]] for row in rows[1:])]
        click.echo(("\n" if number else "") + table(rows), nl=False)
