"""steer serve: the daemon that keeps hosts in agreement."""

import asyncio
import sys

import click

from steersman.cli.app import Tools
from steersman.cli.options import common, filename


@click.command()
@filename(required=False)
@common
@click.pass_obj
def serve(tools: Tools, filenames: tuple[str, ...], recursive: bool) -> None:
    """Keep the hosts in agreement with what was applied, until stopped.

    What is changed behind steer's back on a host (a file, a unit, a process, a release) is put
    right within a second; an app with the annotation `steersman/self-heal: "off"` has it only
    reported. Every other verb works as before. Stopping or restarting the daemon disturbs no app.

    Manifests given with -f are applied now and whenever they change. A file that is half written
    or broken changes nothing: what it said before holds, and conditions and events say why.

    \b
      steer serve                          keep what was applied
      steer serve -f manifests/ -R         follow a folder of manifests
    """
    asyncio.run(_serve(tools, filenames, recursive))


async def _serve(tools: Tools, filenames: tuple[str, ...], recursive: bool) -> None:
    from steersman.cli.context import opened
    from steersman.control.engine import Engine
    from steersman.control.relay import Relay
    from steersman.server.daemon import alone_in, kept_going, serve
    from steersman.server.folders import Manifests, applying
    from steersman.server.logs import LogReporter, configure
    from steersman.server.notify import Notifier

    relay = Relay()
    async with opened(tools, relay) as work:
        configure(sys.stderr, is_debugging=tools.is_debugging)
        apply = applying(work.controller, work.secrets)
        manifests = Manifests(filenames, work.memory, apply, recursive=recursive)
        more = {"Manifests": manifests.reconcile}
        engine = Engine(work.session, work.controller, work.artifacts, more)
        doors = []
        if filenames:
            doors.append(kept_going("manifests", lambda: manifests.watch(engine.wake)))
        async with alone_in(work.store.path.parent):
            with relay.listening(LogReporter()):
                await serve(engine, doors, Notifier())
