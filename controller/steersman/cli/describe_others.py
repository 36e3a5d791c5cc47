"""Hosts, secrets, releases and installations in full."""

import asyncio
from datetime import datetime

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.installation import Installation
from steersman.api.objects import parse_object
from steersman.api.quantities import format_room
from steersman.api.release import Release
from steersman.api.secret import Secret
from steersman.cli.checklist import lines_of
from steersman.cli.context import Work
from steersman.cli.documents import write_documents
from steersman.cli.history import indented, release_text
from steersman.cli.live import rows_of
from steersman.cli.sections import conditions_section, field, metadata_fields, pairs, section
from steersman.control.admission import placed
from steersman.control.live import PATIENCE
from steersman.store.errors import NotStored


async def describe_host(work: Work, name: str, now: datetime) -> str:
    """Return the description of a host; it is asked what it has and runs."""
    host = await work.memory.host(name)
    apps = await work.memory.apps()
    hosts = await work.memory.hosts()
    here = sorted(a.name for a in apps.values() if name in {*placed(a, hosts), *a.status.hosts})
    text = metadata_fields(host.metadata, now) + _host_fields(host)
    text += field("Facts", pairs(host.status.facts))
    text += field("Apps", ", ".join(here) or "<none>")
    if host.status.conditions:
        text += conditions_section(host.status.conditions, now)
    text += await _now(work, host)
    instances, _ = await work.looks.instances([name])
    rows = rows_of(instances, now)
    apps_column = ["APP", *(each.app for each in instances)]
    table = [[app, *row[1:]] for app, row in zip(apps_column, rows, strict=True)]
    return text + section("Processes", table)


def _host_fields(host: Host) -> str:
    spec = host.spec
    keys = len(spec.host_key)
    text = field("Address", f"{spec.address} port {spec.port}")
    text += field("Login", (spec.user or "<as ssh has it>") + f", become {spec.become}")
    text += field("Host key", f"{keys} pinned in the manifest" if keys else "from known_hosts")
    if spec.jump is not None:
        text += field("Jump", spec.jump)
    text += field("Runs", f"{spec.supervisor}, proxy {spec.proxy}, scope {spec.scope}")
    text += field("Root", spec.root)
    text += field("Keeps free", str(format_room(spec.disk.keep_free)))
    if host.cordon is not None:
        text += field("Takes apps", f"no: it is {host.cordon}")
    return text


async def _now(work: Work, host: Host) -> str:
    """Return the checklist of the host, or that it is silent."""
    try:
        async with asyncio.timeout(PATIENCE):
            findings = (await work.looks.check({}, [host.name]))[host.name]
    except TimeoutError:
        return field("Just now", f"no answer within {PATIENCE:g} s")
    return "Just now:\n" + "".join(f"{line}\n" for line in lines_of(findings, is_plain=True))


async def describe_secret(work: Work, name: str, now: datetime) -> str:
    """Return the description of a Secret: its keys and who uses which version, never a value."""
    secret = await _object(work, "Secret", name)
    if not isinstance(secret, Secret):
        raise NotStored("Secret", name)
    users = [a for a in (await work.memory.apps()).values() if name in a.spec.config.secrets]
    uses = [["APP", "RELEASE", "VERSION"], *[await _use(work, app, secret) for app in users]]
    rows = [["KEY", "DIGEST"]]
    rows += [[key, source.stored or "-"] for key, source in secret.spec.data.items()]
    text = metadata_fields(secret.metadata, now)
    text += field("Used by", ", ".join(app.name for app in users) or "<none>")
    text += field("Version", secret.status.version or "<none>")
    text += field("Recipients", ", ".join(secret.spec.recipients) or "<none>")
    return text + section("Keys", rows) + section("Serving", uses)


async def _use(work: Work, app: App, secret: Secret) -> list[str]:
    """Return which version of a Secret the serving release of an app has."""
    number = app.status.release
    spec = [r.spec for r in await work.memory.releases(app.name) if r.spec.number == number]
    version = spec[0].secret_versions.get(secret.name) if spec else None
    is_now = version is not None and version == secret.status.version
    shown = f"{version} (the newest)" if is_now else version or "<none>"
    return [app.name, str(number) if number else "<none>", shown]


async def describe_release(work: Work, name: str, now: datetime) -> str:
    """Return the description of a release: all that it fixes, and how it went."""
    release = await _object(work, "Release", name)
    if not isinstance(release, Release):
        raise NotStored("Release", name)
    text = metadata_fields(release.metadata, now)
    text += field("App", release.spec.app) + field("Number", release.spec.number)
    return text + release_text(release)


async def describe_installation(work: Work, name: str, now: datetime) -> str:
    """Return the description of a revision of an installation: what was given, and what it made."""
    one = await _object(work, "Installation", name)
    if not isinstance(one, Installation):
        raise NotStored("Installation", name)
    spec, status = one.spec, one.status
    text = metadata_fields(one.metadata, now)
    text += field("Installation", spec.installation) + field("Revision", spec.revision)
    text += field("Chart", f"{spec.chart.name}-{spec.chart.version}")
    text += field("State", status.state) + field("Description", spec.description)
    text += field("Objects", ", ".join(spec.objects) or "<none>")
    if spec.values:
        text += "Values:\n" + indented(write_documents([dict(spec.values)], "yaml"))
    return text + (f"Message:\n{indented(status.message)}" if status.message else "")


async def _object(work: Work, kind: str, name: str) -> object:
    stored = await work.store.get(kind, name)
    if stored is None:
        raise NotStored(kind, name)
    return parse_object(stored.object)
