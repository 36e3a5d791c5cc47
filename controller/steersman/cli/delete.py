"""steer delete: remove apps, jobs, hosts and secrets, and everything of theirs on hosts."""

import asyncio
from collections.abc import Sequence
from typing import Literal

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.arguments import lock_timeout, named, verbose
from steersman.cli.kinds import complete_objects, references
from steersman.cli.options import common, filename

Cascade = Literal["background", "orphan"]

# What uses others goes before them.
_ORDER = ("Repository", "Plugin", "Job", "App", "Secret", "Host")


class NotRemoved(SteersmanError):
    """Hosts still hold something, so the object stays known."""

    def __init__(self, kind: str, name: str) -> None:
        key = f"{kind.lower()}/{name}"
        super().__init__(
            f"{key} was not deleted, see above; run this again when its hosts answer,"
            f" or forget it and leave them as they are: `steer delete {key} --cascade=orphan`"
        )


@click.command()
@click.argument("what", nargs=-1, metavar="[KIND/NAME]...", shell_complete=complete_objects)
@filename(required=False)
@click.option(
    "--cascade",
    type=click.Choice(["background", "orphan"]),
    default="background",
    help="orphan: only forget, and leave the hosts as they are.",
)
@click.option("--ignore-not-found", is_flag=True, help="What is not there counts as deleted.")
@verbose
@lock_timeout
@common
@click.pass_obj
def delete(
    tools: Tools,
    what: tuple[str, ...],
    filenames: tuple[str, ...],
    recursive: bool,
    cascade: Cascade,
    ignore_not_found: bool,
    verbose: bool,
) -> None:
    """Remove objects by their names or manifests, with all that they left on hosts.

    An app takes its processes, jobs, routes, files and user along; a host first loses its apps.

    \b
      steer delete app/shop            steer delete -f shop.yaml
      steer delete host/h1 secret/shop steer delete app/shop --cascade=orphan
      steer delete job/backup
    """
    if bool(what) == bool(filenames):
        raise click.UsageError("name objects as KIND/NAME, or manifests with -f")
    wanted: list[tuple[str, str]]
    if filenames:
        from steersman.cli.apply import read

        wanted = [(each.obj.kind, each.obj.name) for each in read(filenames, recursive).objects]
    else:
        wanted = named(references(what))
    for kind, name in wanted:
        if kind not in _ORDER:
            raise click.UsageError(f"{kind.lower()}/{name}: these go with their app")
    ordered = sorted(dict.fromkeys(wanted), key=lambda each: _ORDER.index(each[0]))
    asyncio.run(_delete(tools, ordered, cascade, ignore_not_found, verbose))


async def _delete(
    tools: Tools,
    wanted: Sequence[tuple[str, str]],
    cascade: Cascade,
    is_absence_fine: bool,
    is_verbose: bool,
) -> None:
    from steersman.cli.context import opened
    from steersman.cli.outcomes import raise_faults
    from steersman.cli.progress import progress

    faults: list[SteersmanError] = []
    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            for kind, name in wanted:
                if is_absence_fine and await work.store.get(kind, name) is None:
                    continue
                # As kubectl does: one that cannot go keeps none of the others.
                try:
                    outcomes = await work.controller.delete(kind, name, cascade)
                    raise_faults(outcomes, report.told)
                except SteersmanError as error:
                    faults.append(error)
                except ExceptionGroup as errors:
                    faults += [e for e in errors.exceptions if isinstance(e, SteersmanError)]
                    if await work.store.get(kind, name) is not None:
                        faults.append(NotRemoved(kind, name))
    if faults:
        raise ExceptionGroup("not deleted", faults)
