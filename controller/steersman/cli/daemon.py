"""The daemon itself, for the verbs that are about it."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from steersman.cli.app import Tools
from steersman.cli.context import configure_logs
from steersman.client.api import Api
from steersman.client.errors import OnlyHere
from steersman.client.work import reached
from steersman.control.report import Silent


@asynccontextmanager
async def daemon_of(tools: Tools) -> AsyncIterator[Api]:
    """Yield the daemon that `tools` means; raises OnlyHere when there is none."""
    configure_logs(is_verbose=False, is_debugging=tools.is_debugging)
    context = tools.daemon()
    if context is None:
        raise OnlyHere(
            "there is no daemon here to ask: start one with `steer serve`, or name one with"
            " --context (`steer config get-contexts`)"
        )
    trusted = tools.folder / "known_hosts"
    async with reached(context, Silent(), trust_files=(trusted,)) as (api, _):
        yield api
