"""An app in full: what it should be, its releases, and its processes by host."""

import shlex
from datetime import datetime

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.release import Release
from steersman.cli.context import Work
from steersman.cli.describe_error import error_rows
from steersman.cli.history import indented, release_rows
from steersman.cli.live import rows_of
from steersman.cli.sections import conditions_section, field, metadata_fields, section
from steersman.control.admission import placed
from steersman.control.places import serving_release
from steersman.control.release import counts_of
from steersman.drivers.servers import command_of, way_of


async def describe_app(work: Work, name: str, now: datetime) -> str:
    """Return the description of an app; its hosts are asked how its processes are."""
    app = await work.memory.app(name)
    hosts = await work.memory.hosts()
    releases = await work.memory.releases(name)
    names = sorted({*placed(app, hosts), *app.status.hosts} & set(hosts))
    instances, silent = await work.looks.instances(names, name)
    text = _fields(app, names, now)
    text += conditions_section(app.status.conditions, now)
    text += section("Releases", release_rows(releases, now))
    text += _commands(app, await serving_release(work.memory, app))
    text += section("Processes", rows_of(instances, now))
    text += "".join(f"  {host}: not known: {why}\n" for host, why in silent.items())
    text += section("Routes", _routes(app))
    jobs = [job.name for job in await work.memory.jobs(name)]
    text += field("Jobs", ", ".join(jobs) or "<none>")
    text += section("Errors", error_rows(await work.errors.errors(name), now))
    return text + _rejected(releases)


def _fields(app: App, names: list[str], now: datetime) -> str:
    spec, status = app.spec, app.status
    serving = f"release {status.release}" if status.release is not None else "nothing"
    if status.commit is not None:
        serving += f", commit {status.commit[:10]}"
    text = metadata_fields(app.metadata, now)
    text += field("Source", _source(app))
    text += field("Serving", serving)
    wanted = f"{app.metadata.generation} (reached: {status.observed_generation})"
    text += field("Generation", wanted)
    text += field("Placement", f"{spec.placement.text or '<none>'} on {', '.join(names) or 'none'}")
    text += field("User", app.user)
    if spec.config.env:
        text += field("Variables", ", ".join(spec.config.env))
    if spec.config.secrets:
        text += field("Secrets", ", ".join(spec.config.secrets))
    return text


def _source(app: App) -> str:
    source = app.spec.source
    if source.git is not None:
        folder = f" in {source.git.path}" if source.git.path is not None else ""
        return f"{source.git.url} at {source.git.ref}{folder}"
    return source.path or source.package or ""


def _commands(app: App, release: Release | None) -> str:
    """Return each process's command as it is run: with what steersman adds for its server."""
    if release is None:
        return field("Commands", "<none>")
    counts = {
        name: f"{count} in all" if _is_spread(app, name) else str(count)
        for name, count in counts_of(app, dict(release.spec.template.processes)).items()
    }
    rows = [["PROCESS", "COUNT", "LISTENS BY", "COMMAND AS RUN"]]
    for name, process in sorted(release.spec.template.processes.items()):
        try:
            way = way_of(name, process)
            # Not shlex.join: what is taken from the environment would look quoted.
            words = [
                word if "$" in word else shlex.quote(word) for word in command_of(process, way)
            ]
        except SteersmanError as error:
            rows.append([name, counts[name], "-", str(error)])
            continue
        rows.append([name, counts[name], "-" if way == "none" else way, " ".join(words)])
    return section("Commands", rows)


def _is_spread(app: App, process: str) -> bool:
    return process in app.spec.processes and app.spec.processes[process].replicas is not None


def _routes(app: App) -> list[list[str]]:
    rows = [["HOST", "PATH", "TO"]]
    for route in app.spec.routes:
        to = (
            f"process {route.process}"
            if route.process is not None
            else f"files of {route.directory}"
        )
        rows.append([route.host, route.path, to])
    return rows


def _rejected(releases: list[Release]) -> str:
    """Return why the newest release was rejected, if it was."""
    if not releases or releases[-1].status.state != "rejected":
        return ""
    newest = releases[-1]
    text = f"Release {newest.spec.number} was rejected:\n{indented(newest.status.message)}"
    said = "\n".join(newest.status.logs)
    # The message of an unhealthy release ends with its last lines already.
    if said and newest.status.logs[-1] not in newest.status.message:
        text += f"Last lines:\n{indented(said)}"
    return text
