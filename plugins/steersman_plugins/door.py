"""A TCP server for those who poll: few at a time, for a bounded time, from known addresses."""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Awaitable, Callable, Sequence
from typing import Annotated

from pydantic import AfterValidator, Field

from steersman.api.plugging import PluginError
from steersman.api.refusal import Refused, quoted
from steersman_plugins.endpoints import parse_endpoint

LONGEST_LINE = 4096
MOST_AT_A_TIME = 16

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


def check_network(text: str) -> str:
    try:
        ipaddress.ip_network(text)
    except ValueError:
        raise Refused(
            quoted(text), "an address or a network, such as 192.0.2.7 or 10.0.0.0/8"
        ) from None
    return text


Network = Annotated[str, AfterValidator(check_network), Field(examples=["10.0.0.0/8"])]


class Door:
    """Answers whoever connects by `handler`; `refused` counts those who were shown out."""

    def __init__(
        self, address: str, handler: Handler, *, within: float, allow: Sequence[str] = ()
    ) -> None:
        self._address = address
        self._handler = handler
        self._within = within
        self._allow = [ipaddress.ip_network(one) for one in allow]
        self._server: asyncio.Server | None = None
        self._guests: set[asyncio.Task[None]] = set()
        self.refused = 0

    async def open(self) -> None:
        """Listen; raises PluginError."""
        where = parse_endpoint(self._address)
        try:
            self._server = await asyncio.start_server(
                self._greet, where.host, where.port, limit=LONGEST_LINE, backlog=MOST_AT_A_TIME
            )
        except OSError as error:
            raise PluginError(
                f"cannot listen on {self._address}: {error.strerror or error}; "
                "free the port, or choose another in `config.address`"
            ) from error

    async def close(self) -> None:
        """Stop listening, and hang up on everybody."""
        if self._server is not None:
            self._server.close()
            self._server = None
        for guest in self._guests:
            guest.cancel()
        await asyncio.gather(*self._guests, return_exceptions=True)

    def _greet(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if len(self._guests) >= MOST_AT_A_TIME or not self._is_known(writer):
            self.refused += 1
            writer.transport.abort()
            return
        guest = asyncio.get_running_loop().create_task(self._serve(reader, writer))
        self._guests.add(guest)
        guest.add_done_callback(self._guests.discard)

    def _is_known(self, writer: asyncio.StreamWriter) -> bool:
        peer = writer.get_extra_info("peername")
        if not self._allow or not peer:
            return not self._allow
        address = ipaddress.ip_address(peer[0].partition("%")[0])
        # A socket for both families shows IPv4's addresses inside IPv6's.
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._allow)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(self._within):
                await self._handler(reader, writer)
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, TimeoutError, ValueError, asyncio.IncompleteReadError):
            # Whoever hangs, closes or sends garbage is shown out, and may come again.
            self.refused += 1
        finally:
            writer.transport.abort()
