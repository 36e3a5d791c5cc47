"""Whom to seal to so that the controller can open it: to the key here, or to its daemon's."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from steersman.api.errors import SteersmanError
from steersman.cli.app import Tools
from steersman.client.contexts import Context
from steersman.client.errors import NotADaemon
from steersman.sealing.keyring import Keyring


class Opener(Protocol):
    """A controller, as its public keys; `place` says where its private ones are."""

    @property
    def place(self) -> str: ...

    async def recipient(self) -> str:
        """Return what to seal to; the key is made when it is first asked for."""

    async def recipients(self) -> Sequence[str]:
        """Return the recipients of all keys there are, older ones too."""


def opener_of(tools: Tools) -> Opener:
    """Return the controller that a context means; a key file that was named is one by itself."""
    context = tools.daemon() if tools.key_file is None else None
    return OwnKeys(tools.keyring()) if context is None else DaemonKeys(tools, context)


class OwnKeys:
    """The keys in a file here."""

    def __init__(self, keys: Keyring) -> None:
        self._keys = keys
        self.place = str(keys.path)

    async def recipient(self) -> str:
        self._keys.make()
        return self._keys.recipient()

    async def recipients(self) -> Sequence[str]:
        return self._keys.recipients() if self._keys.exists else ()


class DaemonKeys:
    """The keys of a daemon, which is asked for their public halves only once, and if need be."""

    def __init__(self, tools: Tools, context: Context) -> None:
        self._tools = tools
        self._found: Sequence[str] = ()
        self.place = context.server

    async def recipient(self) -> str:
        return (await self.recipients())[0]

    async def recipients(self) -> Sequence[str]:
        from steersman.cli.daemon import daemon_of

        if not self._found:
            async with daemon_of(self._tools) as api:
                told = await api.json("GET", "/recipients")
            found = told.get("recipients") if isinstance(told, dict) else None
            if (
                not isinstance(found, list)
                or not found
                or not all(isinstance(r, str) for r in found)
            ):
                raise NotADaemon(self.place, "it names nobody to seal to")
            self._found = found
        return self._found


async def locked_out(opener: Opener, recipients: Sequence[str]) -> str:
    """Return why the controller cannot open what is sealed to `recipients`, "" if it can."""
    try:
        mine = await opener.recipients()
    except SteersmanError as error:
        # What is sealed to others is sealed all the same, also where there is no daemon to ask.
        return f"whether a key of {opener.place} opens it is not known: {error}"
    return "" if set(mine) & set(recipients) else f"no key in {opener.place} opens it"
