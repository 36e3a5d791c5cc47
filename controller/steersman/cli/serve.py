"""steer serve: the daemon that keeps hosts in agreement."""

import asyncio
import os
import sys
from typing import TYPE_CHECKING

import click

from steersman.cli.app import Tools
from steersman.cli.options import common, filename

if TYPE_CHECKING:
    from starlette.types import ASGIApp


@click.command()
@filename(required=False)
@click.option("--install", is_flag=True, help="Make it a systemd service, and start that.")
@click.option("--print-unit", is_flag=True, help="Print the service's unit file, and do nothing.")
@common
@click.pass_obj
def serve(
    tools: Tools, filenames: tuple[str, ...], recursive: bool, install: bool, print_unit: bool
) -> None:
    """Keep the hosts in agreement with what was applied, until stopped.

    What is changed behind steer's back on a host (a file, a unit, a process, a release) is put
    right within a second; an app with the annotation `steersman/self-heal: "off"` has it only
    reported. Every other verb works as before. Stopping or restarting the daemon disturbs no app.

    Manifests given with -f are applied now and whenever they change. A file that is half written
    or broken changes nothing: what it said before holds, and conditions and events say why.
    Where such an app has a folder as its source (`source: {path: …}`), a save there is deployed
    too, once nobody writes: what git ignores, venvs and caches do not count.

    What else it does is said in serve.yaml in the state folder: git push, webhooks, polling, how
    much it keeps of what it sees, and whether builds may run without walls where they can have
    none.

    \b
      steer serve                          keep what was applied
      steer serve -f manifests/ -R         follow a folder of manifests
      steer serve -f manifests/ --install  the same as a systemd service, now and at every boot
    """
    if install or print_unit:
        _install(tools, filenames, recursive, is_printed=print_unit)
    else:
        asyncio.run(_serve(tools, filenames, recursive))


def _install(
    tools: Tools, filenames: tuple[str, ...], recursive: bool, *, is_printed: bool
) -> None:
    from steersman.server.install import Service, install
    from steersman.store.paths import state_dir

    words = [word for file in filenames for word in ("-f", os.path.abspath(file))]
    service = Service(
        argv=(sys.executable, "-m", "steersman.cli", "serve", *words, *["-R"][: int(recursive)]),
        home=os.path.expanduser("~"),
        state_dir=str(tools.state_dir or state_dir()),
        is_root=os.geteuid() == 0,
    )
    if is_printed:
        click.echo(service.render().decode(), nl=False)
        return
    install(service)
    click.echo(f"{service.unit_path}: installed and started")
    status = " ".join((*service.systemctl, "status", service.unit_path.name))
    click.echo(f"`{status}` shows how it is")
    if not service.is_root:
        click.echo("`loginctl enable-linger` keeps it running while you are logged out")


async def _serve(tools: Tools, filenames: tuple[str, ...], recursive: bool) -> None:
    from steersman.cli.context import opened_here
    from steersman.control.engine import Engine
    from steersman.control.relay import Relay
    from steersman.server.api import api
    from steersman.server.config import FILE, read_config
    from steersman.server.daemon import alone_in, kept_going, serve
    from steersman.server.dashboard import PATH, dashboard_app
    from steersman.server.folders import Manifests, applying
    from steersman.server.house import Follow, House, doors_of, hook_app, pushes_of
    from steersman.server.logs import LogReporter, configure
    from steersman.server.notify import Notifier
    from steersman.server.parts import Parts
    from steersman.server.sources import Sources
    from steersman.server.telemetry import Telemetry
    from steersman.server.tokens import Tokens
    from steersman.server.walls import tell_of_walls
    from steersman.store.paths import state_dir
    from steersman.telemetry.health import Health
    from steersman.telemetry.troubles import telling

    relay = Relay()
    settings = read_config((tools.state_dir or state_dir()) / FILE)
    walls = settings.walls(is_root=os.geteuid() == 0)
    async with opened_here(tools, relay, use_ssh_config=False, walls=walls, settles=True) as work:
        configure(sys.stderr, is_debugging=tools.is_debugging)
        await tell_of_walls(work.artifacts, walls)
        apply = applying(work.controller, work.secrets)
        manifests = Manifests(filenames, work.memory, apply, recursive=recursive)
        folder = work.store.path.parent
        more = {
            "Manifests": manifests.reconcile,
            "Repository": Follow(work.repositories).reconcile,
        }
        # A host that is lost already is one of the first things that happen.
        since = await work.store.revision()
        telemetry = Telemetry.of(work.session, folder, settings.keep, since)
        engine = Engine(
            *(work.session, work.controller, work.artifacts, more),
            ears=[telemetry.listeners],
            failed=telling(telemetry.errors.report),
        )
        house = House(
            *(folder, work.session, work.controller, work.artifacts, work.repositories),
            *(relay, work.keys),
        )
        parts = Parts(
            store=work.store,
            session=work.session,
            controller=work.controller,
            relay=relay,
            trusted=work.trusted,
            keys=work.keys,
            tokens=Tokens(work.store),
            hub=telemetry.hub,
            samples=telemetry.samples,
            errors=telemetry.book,
            shipping=telemetry.shipping,
            repositories=work.repositories,
            pushes=pushes_of(settings, house),
        )
        health = Health(telemetry.hub, engine.keeper, work.session.round_trips)
        hooks = hook_app(settings, house, engine.wake)
        others: dict[str, ASGIApp] = {"hooks": hooks, PATH: dashboard_app()}
        doors = [
            *telemetry.doors(),
            kept_going("health", health.run),
            api(parts, folder, settings.api, others),
            *doors_of(settings, house, engine.wake),
        ]
        if filenames:
            doors.append(kept_going("manifests", lambda: manifests.watch(engine.wake)))
            sources = Sources(*(work.memory, work.artifacts, work.controller.overtake, engine.wake))
            doors.append(kept_going("sources", sources.watch))
        # Entered last, so left first: whoever hears has heard all that is remembered as heard.
        doors.append(telemetry.listeners.listening())
        async with alone_in(folder):
            with (
                relay.listening(LogReporter()),
                relay.listening(telemetry.tracer),
                telemetry.hub.joined(telemetry.tracer.hear),
                telemetry.hub.joined(health.hear),
            ):
                await serve(engine, doors, Notifier())
