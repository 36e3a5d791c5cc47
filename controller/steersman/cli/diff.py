"""steer diff: what apply would do on each host, step by step and why."""

import asyncio
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.apply import read
from steersman.cli.arguments import app_of
from steersman.cli.kinds import complete_objects
from steersman.cli.options import common, filename
from steersman.cli.sets import Set, set_of
from steersman.cli.text import is_colourful, printable

if TYPE_CHECKING:
    from steersman.control.jobs import JobSteps
    from steersman.control.outcome import HostOutcome, Outcome
    from steersman.planning.plans import Plan
    from steersman.planning.steps import Step

SAME, DIFFERS, FAILED = 0, 1, 2


@click.command()
@click.argument("apps", nargs=-1, metavar="[app/NAME]...", shell_complete=complete_objects)
@filename(required=False)
@click.option(
    "--save",
    metavar="FILE",
    type=click.Path(dir_okay=False, path_type=Path),
    help="Write a plan for `steer apply --plan`, which does this or nothing.",
)
@common
@click.pass_obj
def diff(
    tools: Tools,
    apps: tuple[str, ...],
    filenames: tuple[str, ...],
    recursive: bool,
    save: Path | None,
) -> None:
    """Print what would be done, and do nothing: for manifests, or for apps as remembered.

    Exits 0 when nothing would be done, 1 when something would, above 1 on an error.

    \b
      steer diff -f shop.yaml      what applying it would do
      steer diff app/shop          what drifted on its hosts
      steer diff -f shop.yaml --save plan.json && steer apply --plan plan.json

    $STEER_EXTERNAL_DIFF is a program that shows how objects would change, such as 'diff -ru'.

    A saved plan names each host's steps, and holds no value of a Secret. It is for the release
    that the source is now, and applied where nothing has moved meanwhile.
    """
    tools.failure_code = FAILED
    if bool(apps) == bool(filenames):
        raise click.UsageError("name manifests with -f, or apps as app/NAME")
    if filenames:
        differs = asyncio.run(show(tools, set_of(read(filenames, recursive)), save))
    else:
        differs = asyncio.run(_drift(tools, [app_of(word) for word in apps], save))
    raise click.exceptions.Exit(DIFFERS if differs else SAME)


async def show(tools: Tools, wanted: Set, save: Path | None = None) -> bool:
    """Print what applying would do; return whether that is anything. Raises what is wrong.

    The plan is written into the file `save`, unless something is wrong.
    """
    from steersman.cli import external
    from steersman.cli.changes import object_diff
    from steersman.cli.context import opened
    from steersman.cli.planfile import with_sources
    from steersman.cli.progress import OnlySaid, progress
    from steersman.cli.sets import tell_protected, would_prune

    with progress(to_stderr=True) as report:
        async with opened(tools, OnlySaid(report)) as work:
            objects = await work.secrets.read(wanted.objects)
            changes = await work.looks.changes(objects)
            planned = await work.controller.plans.make(objects, [])
            pruning = await would_prune(work, wanted)
            plan = planned.plan
            if save is not None and plan is not None:
                plan = await with_sources(work, plan, wanted.objects)
    program = external.program()
    if program is not None:
        external.show(program, changes)
    for change in changes if program is None else ():
        click.echo(_coloured(object_diff(change)), nl=False)
    for key in pruning.remove:
        click.echo(f"{key} pruned (dry run)")
    tell_protected(pruning.protected)
    have_steps = _print_plans(planned.outcomes, planned.jobs)
    _save(plan, save)
    return have_steps or bool(changes or pruning.remove)


async def _drift(tools: Tools, apps: Sequence[str], save: Path | None) -> bool:
    from steersman.cli.context import opened
    from steersman.cli.progress import OnlySaid, progress

    with progress(to_stderr=True) as report:
        async with opened(tools, OnlySaid(report)) as work:
            planned = await work.controller.plans.make([], apps)
    have_steps = _print_plans(planned.outcomes, planned.jobs)
    _save(planned.plan, save)
    return have_steps


def _save(plan: "Plan | None", file: Path | None) -> None:
    from steersman.cli.planfile import save

    if file is not None and plan is not None:
        save(plan, file)
        click.echo(f"plan saved to {file}; to carry it out: steer apply --plan {file}", err=True)


def _print_plans(outcomes: Sequence["Outcome"], jobs: "Mapping[str, JobSteps]") -> bool:
    from steersman.cli.outcomes import raise_faults

    for outcome in outcomes:
        for host in sorted(outcome.hosts, key=lambda host: host.host):
            if host.steps:
                click.echo(_plan(outcome, host), nl=False)
            elif host.error is None:
                click.echo(f"app/{outcome.app} on {host.host}: nothing to do")
    have_jobs_changed = _print_job_plans(jobs)
    raise_faults(outcomes)
    return have_jobs_changed or any(host.steps for each in outcomes for host in each.hosts)


def _plan(outcome: "Outcome", host: "HostOutcome") -> str:
    release = outcome.release
    to = f" to release {release.spec.number}" if release is not None else ""
    return _numbered(f"app/{outcome.app} on {host.host}{to}:", host.steps)


def _print_job_plans(jobs: "Mapping[str, JobSteps]") -> bool:
    for app, by_host in jobs.items():
        for host, steps in sorted(by_host.items()):
            title = f"jobs of app/{app} on {host}:"
            click.echo(_numbered(title if steps else f"{title} nothing to do", steps), nl=False)
    return any(steps for by_host in jobs.values() for steps in by_host.values())


def _numbered(title: str, steps: "Sequence[Step]") -> str:
    lines = [title, *(f"{n:4d}. {step.text} ({step.why})" for n, step in enumerate(steps, 1))]
    return "".join(printable(line) + "\n" for line in lines)


def _coloured(diff: str) -> str:
    if not is_colourful(sys.stdout):
        return diff
    colours = {"+": "green", "-": "red", "@": "cyan"}
    return "".join(
        click.style(line, fg=colours.get(line[0])) for line in diff.splitlines(keepends=True)
    )
