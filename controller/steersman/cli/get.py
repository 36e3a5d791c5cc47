"""steer get: what is remembered, as a table, names, documents or by a template."""

import asyncio
from collections.abc import Sequence

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.columns import Object
from steersman.cli.jobs_now import refresh_jobs
from steersman.cli.kinds import NOT_STORED, Reference, complete_objects, references
from steersman.cli.options import common, field_selector, formatted, selector
from steersman.cli.outputs import Format
from steersman.cli.showing import Found, Style, show
from steersman.store.errors import NotStored
from steersman.store.protocol import EVENT, Query, Store, Stored
from steersman.store.selectors import FieldSelector, FieldTerm, Selector

_EVENTS = 200


@click.command()
@click.argument("what", nargs=-1, required=True, shell_complete=complete_objects)
@formatted
@selector
@field_selector
@click.option("--app", metavar="NAME", help="Only errors of this app.")
@click.option("--sort-by", metavar="PATH", help="Order by a field: .metadata.creationTimestamp.")
@click.option("--show-labels", is_flag=True, help="Print the labels as the last column.")
@click.option("--no-headers", is_flag=True, help="Leave the titles of columns out.")
@click.option("--show-managed-fields", is_flag=True, help="Print who manages which field.")
@click.option("-w", "--watch", is_flag=True, help="Go on, and print each object that changes.")
@click.option("--watch-only", is_flag=True, help="Print changes, and not what there is now.")
@click.option("--ignore-not-found", is_flag=True, help="What is not there is no error.")
@common
@click.pass_obj
def get(
    tools: Tools,
    what: tuple[str, ...],
    output: Format,
    selector: str | None,
    field_selector: str | None,
    app: str | None,
    sort_by: str | None,
    show_labels: bool,
    no_headers: bool,
    show_managed_fields: bool,
    watch: bool,
    watch_only: bool,
    ignore_not_found: bool,
) -> None:
    """List objects: apps, hosts, secrets, jobs, releases, events, all; what runs: generations; or
    what went wrong: errors.

    How jobs' runs went is asked of their hosts; those that are slow are left out.

    \b
      steer get apps                 steer get app shop -o yaml
      steer get app,host -o wide     steer get app/shop host/h1
      steer get all -l tier=front    steer get jobs
      steer get generations shop     steer get events
      steer get errors --app shop    steer get errors -l kind=crash-loop
      steer get apps -o jsonpath='{range .items[*]}{.metadata.name}{"\\n"}{end}'
      steer get releases --field-selector spec.app=shop --sort-by .spec.number
      steer get app shop -w -o name
    """
    wanted = references(what)
    if app is not None and {each.kind.kind for each in wanted} != {"Error"}:
        raise click.UsageError("--app chooses errors; other kinds have -l and --field-selector")
    if (selector or field_selector) and any(each.name is not None for each in wanted):
        raise click.UsageError("-l chooses objects by their labels; leave the names out")
    style = Style(output, sort_by, show_labels, not no_headers, show_managed_fields)
    choice = Query(
        labels=Selector.parse(selector or ""), fields=FieldSelector.parse(field_selector or "")
    )
    if watch or watch_only:
        _check_watch(wanted, sort_by)
        asyncio.run(_follow(tools, wanted[0], choice, style, is_only=watch_only))
    found, missing = asyncio.run(_collect(tools, wanted, choice, style))
    running = [each for each in wanted if each.kind.kind == "Generation"]
    if running and choice.labels.terms:
        raise click.UsageError("generations have no labels; name their app instead")
    for each in running:
        found += [one for one in _running(tools, each) if choice.matches(dict(one[1]))]
    for each in [each for each in wanted if each.kind.kind == "Error"]:
        errors = asyncio.run(_errors(tools, each, app))
        if not errors and each.name is not None:
            missing.append(NotStored("Error", each.name))
        found += [(each.kind, one) for one in errors if choice.matches(dict(one))]
    show(found, wanted, style)
    if missing and not ignore_not_found:
        raise ExceptionGroup("not found", missing)


def _check_watch(wanted: Sequence[Reference], sort_by: str | None) -> None:
    kinds = {each.kind.kind for each in wanted}
    if len(wanted) > 1 or kinds & NOT_STORED:
        raise click.UsageError("-w watches one object, or one kind that is remembered")
    if sort_by is not None:
        raise click.UsageError("what is yet to come has no order: leave --sort-by or -w out")


async def _follow(
    tools: Tools, wanted: Reference, choice: Query, style: Style, *, is_only: bool
) -> None:
    from steersman.cli.watching import follow

    fields = choice.fields
    if wanted.name is not None:
        fields = FieldSelector((FieldTerm(("metadata", "name"), wanted.name),))
    query = Query(frozenset({wanted.kind.kind}), choice.labels, fields)
    async with tools.store() as store:
        if wanted.name is not None and await store.get(wanted.kind.kind, wanted.name) is None:
            raise NotStored(wanted.kind.kind, wanted.name)
        await follow(store, query, wanted.kind, style, is_only=is_only)


def _running(tools: Tools, wanted: Reference) -> Found:
    """Return generations, which only the hosts know; their name is their app's."""
    from steersman.cli.generations import read_generations

    return [(wanted.kind, one) for one in asyncio.run(read_generations(tools, wanted.name))]


async def _errors(tools: Tools, wanted: Reference, app: str | None) -> list[Object]:
    """Return errors, those seen last at the end."""
    from steersman.cli.context import opened

    async with opened(tools) as work:
        found: list[Object] = [*await work.errors.errors(app, wanted.name)]
    return found[-_EVENTS:]


async def _collect(
    tools: Tools, wanted: Sequence[Reference], choice: Query, style: Style
) -> tuple[Found, list[SteersmanError]]:
    found: Found = []
    missing: list[SteersmanError] = []
    if any(each.kind.kind == "Job" for each in wanted):
        await refresh_jobs(tools, [each.name for each in wanted if each.kind.kind == "Job"])
    async with tools.store() as store:
        for each in wanted:
            if each.kind.kind in NOT_STORED:
                continue
            objects = await _read(store, each, choice, style)
            if not objects and each.name is not None:
                missing.append(NotStored(each.kind.kind, each.name))
            found += [(each.kind, one) for one in objects]
    return found, missing


async def _read(store: Store, wanted: Reference, choice: Query, style: Style) -> list[Object]:
    kind = wanted.kind.kind
    if wanted.name is not None:
        one = await store.get(kind, wanted.name)
        stored: Sequence[Stored] = [one] if one is not None else []
    else:
        stored = await store.list(kind, choice.labels)
    objects = [each.shown if style.has_managed_fields else each.object for each in stored]
    chosen = [each for each in objects if choice.matches(each)]
    if kind == EVENT:
        chosen = sorted(chosen, key=lambda one: str(one["spec"]["time"]))[-_EVENTS:]
    return [*chosen]
