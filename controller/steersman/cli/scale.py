"""steer scale: change how many instances a process has."""

import asyncio

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import app_name, lock_timeout, verbose
from steersman.cli.options import common

MOST = 10_000


@click.command()
@app_name
@click.argument("counts", nargs=-1, required=True, metavar="PROCESS=COUNT...")
@verbose
@lock_timeout
@common
@click.pass_obj
def scale(tools: Tools, app: str, counts: tuple[str, ...], verbose: bool) -> None:
    """Set how many instances of processes run: on each host of an app, or in all.

    A process with `replicas` has that many in all, spread over the hosts. The proxy is not touched
    and no release is made. A manifest that says another number sets it back when it is applied.

    \b
      steer scale app/shop web=3
      steer scale app/shop web=3 worker=0
    """
    asyncio.run(_scale(tools, app, dict(map(_count, counts)), verbose))


def _count(word: str) -> tuple[str, int]:
    process, _, count = word.partition("=")
    if not process or not count.isascii() or not count.isdecimal() or int(count) > MOST:
        raise click.UsageError(f"{word!r} is not PROCESS=COUNT, such as web=3 (0 to {MOST})")
    return process, int(count)


async def _scale(tools: Tools, app: str, counts: dict[str, int], is_verbose: bool) -> None:
    from steersman.cli.context import opened
    from steersman.cli.outcomes import conclude
    from steersman.cli.progress import progress

    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            outcome = await work.controller.steering.scale(app, counts)
    if outcome.is_good:
        click.echo(f"app/{app} scaled")
    conclude([outcome], report)
