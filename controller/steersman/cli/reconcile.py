"""steer reconcile: look at repositories and apps now, not when their time comes."""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.cli.arguments import lock_timeout, named, verbose
from steersman.cli.kinds import complete_objects, references
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.cli.context import Work
    from steersman.cli.progress import Lines
    from steersman.control.repositories import Followed


@click.command()
@click.argument(
    "what", nargs=-1, required=True, metavar="KIND/NAME...", shell_complete=complete_objects
)
@verbose
@lock_timeout
@common
@click.pass_obj
def reconcile(tools: Tools, what: tuple[str, ...], verbose: bool) -> None:
    """Look at repositories and apps now, bring what they ask for, and print it as apply does.

    A repository's commit is applied again, also when it was before.

    \b
      steer reconcile repository/fleet    steer reconcile app/shop
    """
    wanted = named(references(what))
    for kind, name in wanted:
        if kind not in ("App", "Repository"):
            raise click.UsageError(f"{kind.lower()}/{name}: only repositories and apps are")
    asyncio.run(_reconcile(tools, wanted, verbose))


async def _reconcile(tools: Tools, wanted: Sequence[tuple[str, str]], is_verbose: bool) -> None:
    from steersman.cli.context import opened
    from steersman.cli.progress import progress

    faults: list[SteersmanError] = []
    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            for kind, name in wanted:
                try:
                    await _one(work, kind, name, report)
                except SteersmanError as error:
                    faults.append(error)
                except ExceptionGroup as errors:
                    faults += [e for e in errors.exceptions if isinstance(e, SteersmanError)]
    if faults:
        raise ExceptionGroup("not as wanted", faults)


async def _one(work: "Work", kind: str, name: str, report: "Lines") -> None:
    from steersman.cli.outcomes import conclude

    if kind == "App":
        conclude([await work.controller.reconcile(name)], report)
        return
    followed = await work.repositories.reconcile(name, is_asked=True)
    show(followed, report)


def show(followed: "Followed", report: "Lines") -> None:
    """Print how a look at a repository went, or raise what went wrong."""
    from steersman.cli.outcomes import conclude

    if followed.error is not None:
        raise followed.error
    click.echo(f"repository/{followed.name}: commit {(followed.commit or '')[:12]}")
    if followed.applied is not None:
        conclude(followed.applied.outcomes, report, followed.applied.jobs)
    if followed.pruned.errors:
        raise ExceptionGroup("not pruned", list(followed.pruned.errors))
