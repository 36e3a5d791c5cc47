"""steer serve: the daemon that keeps hosts in agreement."""

import asyncio
import sys

import click

from steersman.cli.app import Tools
from steersman.cli.options import common


@click.command()
@common
@click.pass_obj
def serve(tools: Tools) -> None:
    """Keep the hosts in agreement with what was applied, until stopped.

    What is changed behind steer's back on a host (a file, a unit, a process, a release) is put
    right within a second. Every other verb works as before, with the daemon's help. Stopping or
    restarting it disturbs no app.

    \b
      steer serve
      systemctl enable --now steer     after `steer serve --install`
    """
    asyncio.run(_serve(tools))


async def _serve(tools: Tools) -> None:
    from steersman.cli.context import opened_here
    from steersman.control.engine import Engine
    from steersman.control.relay import Relay
    from steersman.server.daemon import alone_in, serve
    from steersman.server.logs import LogReporter, configure
    from steersman.server.notify import Notifier

    relay = Relay()
    async with opened_here(tools, relay) as work:
        configure(sys.stderr, is_debugging=tools.is_debugging)
        async with alone_in(work.store.path.parent):
            engine = Engine(work.session, work.controller, work.artifacts)
            with relay.listening(LogReporter()):
                await serve(engine, (), Notifier())
