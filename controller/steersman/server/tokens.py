"""Bearer tokens: 256 random bits, remembered as a digest, with scopes and an end."""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from steersman.api.errors import SteersmanError
from steersman.api.names import check_name
from steersman.server.policy import Scope, Subject, grants
from steersman.store.errors import Conflict, NotStored
from steersman.store.protocol import Store, Stored

KIND = "Token"
"""As the store has it. It is no kind of the API: nothing lists, gets or watches it there."""

_TOKEN = re.compile(r"steer_([0-9a-f]{16})_([0-9a-f]{64})")
# What an unknown id is compared with, so that it takes as long as a known one.
_NOBODY = hashlib.sha256(b"nobody").hexdigest()


class TokenRefused(SteersmanError):
    """A token that is wrong, over or revoked; which of them is not said."""

    def __init__(self) -> None:
        super().__init__(
            "the token is not valid (any more); get one by `steer token create` on the daemon's"
            " machine"
        )


class TokenTaken(SteersmanError):
    """There is a token of this name."""

    def __init__(self, name: str) -> None:
        super().__init__(
            f"there is a token {name} already; revoke it with `steer token revoke {name}`, or"
            " choose another name"
        )


@dataclass(frozen=True, slots=True)
class TokenInfo:
    """What may be shown of a token."""

    name: str
    id: str
    scopes: tuple[Scope, ...]
    created: str
    expires: str | None


class Tokens:
    """The tokens that a store remembers."""

    def __init__(
        self, store: Store, clock: Callable[[], datetime] = lambda: datetime.now(UTC)
    ) -> None:
        self._store = store
        self._clock = clock

    async def create(
        self, name: str, scopes: Sequence[str], lifetime: timedelta | None
    ) -> tuple[str, TokenInfo]:
        """Make a token; its text is returned this once. Raises BadScope, TokenTaken, Refused."""
        granted = grants(scopes)
        secret, id_ = secrets.token_hex(32), secrets.token_hex(8)
        expires = None if lifetime is None else (self._clock() + lifetime).isoformat()
        spec = {
            "id": id_,
            "digest": _digest(secret),
            "scopes": [scope.text for scope in granted],
            **({} if expires is None else {"expires": expires}),
        }
        made = {
            "apiVersion": "steersman/v1",
            "kind": KIND,
            "metadata": {"name": check_name(name)},
            "spec": spec,
        }
        try:
            stored = await self._store.put(made, 0)
        except Conflict:
            raise TokenTaken(name) from None
        return f"steer_{id_}_{secret}", _info(stored)

    async def list(self) -> list[TokenInfo]:
        return [_info(stored) for stored in await self._store.list(KIND)]

    async def revoke(self, name: str) -> None:
        """Forget a token: whoever has it is nobody from now on. Raises NotStored."""
        if not await self._store.delete(KIND, name):
            raise NotStored(KIND, name)

    async def subject(self, text: str) -> Subject:
        """Return whose token this is; raises TokenRefused.

        It is found by its id, which is no secret; the secret is compared in constant time.
        """
        match = _TOKEN.fullmatch(text)
        id_, secret = (match[1], match[2]) if match is not None else ("", "")
        tokens = await self._store.list(KIND)
        known = next((each for each in tokens if each.spec.get("id") == id_), None)
        wanted = _NOBODY if known is None else str(known.spec["digest"])
        is_right = hmac.compare_digest(wanted, _digest(secret))
        if known is None or not is_right or self._is_over(known):
            raise TokenRefused
        return Subject(f"token {known.name}", grants(known.spec["scopes"]))

    def _is_over(self, token: Stored) -> bool:
        expires = token.spec.get("expires")
        return expires is not None and datetime.fromisoformat(expires) <= self._clock()


def _digest(secret: str) -> str:
    # 256 random bits need no slow hash: nobody can try them all.
    return hashlib.sha256(secret.encode()).hexdigest()


def _info(stored: Stored) -> TokenInfo:
    spec, made = stored.spec, str(stored.metadata["creationTimestamp"])
    return TokenInfo(stored.name, spec["id"], grants(spec["scopes"]), made, spec.get("expires"))
