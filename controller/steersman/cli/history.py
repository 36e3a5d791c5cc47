"""The releases of an app: the table, one in full, and whether the wanted one is out."""

import asyncio
from datetime import UTC, datetime

import click

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.meta import READY, find_condition
from steersman.api.objects import dump_object
from steersman.api.quantities import parse_duration
from steersman.api.release import CutOver, Release
from steersman.cli.app import Tools
from steersman.cli.documents import write_documents
from steersman.cli.tables import age, table
from steersman.cli.text import printable
from steersman.control.admission import placed
from steersman.control.cutover import cut_over_text, failed_text
from steersman.control.memory import Memory
from steersman.control.release import find_release

POLL = 0.5


class NotOut(SteersmanError):
    """The app does not run as its manifest says."""

    def __init__(self, app: str, why: str) -> None:
        said = why.removeprefix(f"app {app}: ")
        # A pause says itself what ends it.
        way_out = (
            "" if f"app/{app}`" in said else f"; see `steer describe app/{app}`, then apply again"
        )
        super().__init__(f"app {app}: {said}{way_out}")


async def print_history(tools: Tools, app: str, number: int | None) -> None:
    """Print all releases as a table, or the one of this number with its template."""
    async with tools.store() as store:
        memory = Memory(store)
        await memory.app(app)
        releases = await memory.releases(app)
    if number is not None:
        click.echo(one_release(app, number, releases), nl=False)
        return
    click.echo(f"app/{app}")
    click.echo(table(release_rows(releases, datetime.now(UTC))), nl=False)


def release_rows(releases: list[Release], now: datetime) -> list[list[str]]:
    """Return the header and a row for each release."""
    rows = [["REVISION", "STATE", "AGE", "COMMIT", "REF", "FAILED"]]
    for release in releases:
        made = release.metadata.creation_timestamp
        commit = (release.spec.commit or "")[:10]
        since = age(made.isoformat() if made is not None else None, now)
        name, state = str(release.spec.number), release.status.state
        rest = [commit or "<none>", release.spec.ref or "<none>"]
        rows.append([name, state, since, *rest, failed_text(release.status.cut_over)])
    return rows


def one_release(app: str, number: int, releases: list[Release]) -> str:
    release = find_release(app, number, releases)
    return f"app/{app} with revision #{number}\n{release_text(release)}"


def release_text(release: Release) -> str:
    """Return what a release fixes, how it went, and its last lines when it was rejected."""
    data = dump_object(release)
    spec = {key: value for key, value in data["spec"].items() if key not in ("app", "number")}
    text = f"State: {release.status.state}\n" + printable(write_documents([spec], "yaml"))
    if release.status.message:
        text += f"Message:\n{indented(release.status.message)}"
    if release.status.cut_over is not None:
        text += "Cut-over:\n" + indented(_cut_over(release.status.cut_over))
    if release.status.logs:
        text += "Last lines:\n" + indented("\n".join(release.status.logs))
    if release.status.output:
        text += "Release command:\n" + indented("\n".join(release.status.output))
    return text


def _cut_over(found: CutOver) -> str:
    hosts = [f"{host.host}: {cut_over_text(host)}" for host in found.hosts]
    return "\n".join([cut_over_text(found), *(hosts if len(hosts) > 1 else [])])


def indented(text: str) -> str:
    return "".join(f"  {printable(line)}\n" for line in text.splitlines())


async def wait_for_rollout(
    tools: Tools, app: str, *, is_watching: bool, timeout: str | None
) -> None:
    """Say that what the manifest wants is out, or raise why it is not.

    It is waited for as long as another steer works on the app, and no longer than `timeout`.
    """
    limit = parse_duration(timeout) if timeout is not None else None
    said = ""
    try:
        async with tools.store() as store, asyncio.timeout(limit):
            memory = Memory(store)
            while True:
                is_worked_on = await store.is_leased(f"app/{app}")
                object_ = await memory.app(app)
                missing = _missing(object_, placed(object_, await memory.hosts()))
                if not missing or not (is_watching and is_worked_on):
                    break
                if missing != said:
                    said = missing
                    click.echo(f"Waiting for app/{app} to roll out: {missing}...")
                await asyncio.sleep(POLL)
            releases = await memory.releases(app)
    except TimeoutError:
        raise NotOut(app, f"not out within {timeout}: {said}") from None
    newest = next((r for r in releases if r.spec.number == object_.status.latest_release), None)
    if newest is not None and newest.status.cut_over is not None:
        text = cut_over_text(newest.status.cut_over)
        click.echo(f"release {newest.spec.number} took over: {text}")
    if missing:
        raise NotOut(app, missing)
    where = ", ".join(object_.status.hosts)
    click.echo(f'app "{app}" successfully rolled out: release {object_.status.release} on {where}')


def _missing(app: App, names: list[str]) -> str:
    """Return what is left until the app is as its manifest says, "" when nothing is."""
    if app.status.observed_generation < app.metadata.generation:
        return "what its manifest says was not rolled out yet"
    ready = find_condition(app.status.conditions, READY)
    if ready is None or ready.status != "True":
        return ready.message if ready is not None and ready.message else "it is not ready"
    left = [name for name in names if name not in app.status.hosts]
    if left:
        return f"it is not on {', '.join(left)}"
    return "" if names else "it is placed on no host"
