"""steer rollout: how a release goes, which there were, and the way back."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.arguments import app_name, lock_timeout, verbose
from steersman.cli.options import common

if TYPE_CHECKING:
    from steersman.cli.context import Work
    from steersman.control.outcome import Outcome


@click.group()
def rollout() -> None:
    """Watch, steer, list, undo or restart the releases of an app.

    \b
      steer rollout status app/shop    steer rollout history app/shop
      steer rollout pause app/shop     steer rollout promote app/shop
      steer rollout undo app/shop      steer rollout restart app/shop
    """


@rollout.command()
@app_name
@click.option("-w", "--watch/--no-watch", default=True, help="Wait while another steer works.")
@click.option("--timeout", metavar="DURATION", help="Wait no longer than this, such as 5m.")
@common
@click.pass_obj
def status(tools: Tools, app: str, watch: bool, timeout: str | None) -> None:
    """Tell whether what an app's manifest says runs on all of its hosts; exits 0 if so.

    \b
      steer rollout status app/shop
      steer rollout status app/shop --timeout=5m
    """
    from steersman.cli.history import wait_for_rollout

    asyncio.run(wait_for_rollout(tools, app, is_watching=watch, timeout=timeout))


@rollout.command()
@app_name
@click.option("--revision", type=int, metavar="N", help="Show all of one release.")
@common
@click.pass_obj
def history(tools: Tools, app: str, revision: int | None) -> None:
    """List the releases of an app.

    \b
      steer rollout history app/shop
      steer rollout history app/shop --revision=3
    """
    from steersman.cli.history import print_history

    asyncio.run(print_history(tools, app, revision))


@rollout.command()
@app_name
@click.option("--to-revision", type=int, metavar="N", help="The release to go back to.")
@click.option("--force", is_flag=True, help="Even past a release whose command is a contract.")
@verbose
@lock_timeout
@common
@click.pass_obj
def undo(tools: Tools, app: str, to_revision: int | None, force: bool, verbose: bool) -> None:
    """Go back to an earlier release: the last good one, unless told which.

    It is not built again, and gets a new number. The next `steer apply` goes forward again. What
    was before a release whose manifest says `release: {contract: true}` does not work any more
    once that command ran: going back there needs --force.

    \b
      steer rollout undo app/shop
      steer rollout undo app/shop --to-revision=3
    """

    async def change(work: "Work") -> "Outcome | None":
        to = to_revision or None  # kubectl's 0 is the last one, too
        same = await _already(work, app, to)
        if same is not None:
            click.echo(f"app/{app} skipped rollback (current template already matches {same})")
            return None
        return await work.controller.steering.undo(app, to, is_forced=force)

    asyncio.run(_changed(tools, app, verbose, change, "rolled back"))


@rollout.command()
@app_name
@verbose
@lock_timeout
@common
@click.pass_obj
def restart(tools: Tools, app: str, verbose: bool) -> None:
    """Start every process anew, as gracefully as a deploy: as a release with the same content.

    \b
      steer rollout restart app/shop
      steer rollout restart app/shop -v
    """
    asyncio.run(
        _changed(
            tools, app, verbose, lambda work: work.controller.steering.restart(app), "restarted"
        )
    )


@rollout.command()
@app_name
@common
@click.pass_obj
def pause(tools: Tools, app: str) -> None:
    """Let the app's rollouts stop before their next hosts; those that have moved stay.

    It holds for later releases too, over applies, until `steer rollout resume`.

    \b
      steer rollout pause app/shop
    """

    async def change() -> None:
        from steersman.cli.context import opened

        async with opened(tools) as work:
            await work.controller.steering.pause(app)

    asyncio.run(change())
    click.echo(f"app/{app} paused")


@rollout.command()
@app_name
@verbose
@lock_timeout
@common
@click.pass_obj
def resume(tools: Tools, app: str, verbose: bool) -> None:
    """Go on with a rollout that was paused.

    \b
      steer rollout resume app/shop
    """
    asyncio.run(
        _changed(tools, app, verbose, lambda work: work.controller.steering.resume(app), "resumed")
    )


@rollout.command()
@app_name
@click.option("--full", is_flag=True, help="Pass every pause that is left, too.")
@verbose
@lock_timeout
@common
@click.pass_obj
def promote(tools: Tools, app: str, full: bool, verbose: bool) -> None:
    """End the pause that a Canary or BlueGreen rollout is in.

    \b
      steer rollout promote app/shop
      steer rollout promote app/shop --full
    """
    asyncio.run(
        _changed(
            tools,
            app,
            verbose,
            lambda work: work.controller.steering.promote(app, is_full=full),
            "promoted",
        )
    )


@rollout.command()
@app_name
@verbose
@lock_timeout
@common
@click.pass_obj
def abort(tools: Tools, app: str, verbose: bool) -> None:
    """Give up the rollout under way: every host goes back to the last good release.

    The release counts as rejected: applying the same again does not try it again.

    \b
      steer rollout abort app/shop
    """

    async def change(work: "Work") -> "Outcome":
        return as_asked(await work.controller.steering.abort(app))

    from steersman.cli.outcomes import as_asked

    asyncio.run(_changed(tools, app, verbose, change, "aborted"))


async def _changed(
    tools: Tools,
    app: str,
    is_verbose: bool,
    change: "Callable[[Work], Awaitable[Outcome | None]]",
    done: str,
) -> None:
    """Make a change, tell what becomes of it, and say that it is `done`."""
    from steersman.cli.context import opened
    from steersman.cli.outcomes import conclude
    from steersman.cli.progress import progress

    with progress(is_verbose=is_verbose) as report:
        async with opened(tools, report, is_verbose=is_verbose) as work:
            outcome = await change(work)
    if outcome is None:
        return
    if outcome.is_good:
        click.echo(f"app/{app} {done}")
    conclude([outcome], report)


async def _already(work: "Work", app: str, to: int | None) -> str | None:
    """Return how the wanted release is named when it is the one that serves."""
    if to is None:
        return None
    serving = (await work.memory.app(app)).status.release
    digests = {each.spec.number: each.spec.digest for each in await work.memory.releases(app)}
    if to in digests and digests.get(serving or 0) == digests[to]:
        return f"revision {to}"
    return None
