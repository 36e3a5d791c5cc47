"""Who may come in: tokens made and revoked, and what a subject may do."""

from __future__ import annotations

from dataclasses import asdict
from datetime import timedelta
from typing import Any

from starlette.responses import Response

from steersman.api.refusal import Refused
from steersman.server.ask import Ask, mapping, typed
from steersman.server.objects import json_answer
from steersman.server.policy import VERBS, allows
from steersman.server.resources import app_of
from steersman.server.status import ApiError, success
from steersman.server.tokens import TokenInfo

LONGEST_DAYS = 3660


async def list_tokens(ask: Ask) -> Response:
    return json_answer({"items": [_shown(each) for each in await ask.parts.tokens.list()]})


async def create_token(ask: Ask) -> Response:
    """Make a token. Its text is in this answer, and never again anywhere."""
    body = mapping(await ask.body(), ("name", "scopes", "seconds"))
    scopes, seconds = typed(body, "scopes", list, []), typed(body, "seconds", int)
    if not scopes or len(scopes) > 20 or not all(isinstance(each, str) for each in scopes):
        raise ApiError(422, "scopes: a list of read, deploy:APP and admin")
    if seconds is not None and not 0 < seconds <= LONGEST_DAYS * 86400:
        raise ApiError(422, f"seconds: more than 0 and at most {LONGEST_DAYS} days")
    lifetime = timedelta(seconds=seconds) if seconds is not None else None
    try:
        text, info = await ask.parts.tokens.create(typed(body, "name", str, ""), scopes, lifetime)
    except Refused as refused:
        raise ApiError(422, f"name: {refused}") from None
    await ask.note("TokenMade", f"made token {info.name} for {' '.join(scopes)}", name=info.name)
    return json_answer({"token": text, **_shown(info)}, 201)


async def revoke_token(ask: Ask) -> Response:
    await ask.parts.tokens.revoke(ask.named)
    await ask.note("TokenRevoked", f"revoked token {ask.named}")
    return json_answer(success(f"token {ask.named} was revoked", name=ask.named))


def _shown(info: TokenInfo) -> dict[str, Any]:
    return {**asdict(info), "scopes": [scope.text for scope in info.scopes]}


async def whoami(ask: Ask) -> Response:
    scopes = [scope.text for scope in ask.subject.scopes]
    return json_answer({"name": ask.subject.name, "scopes": scopes})


async def can_i(ask: Ask) -> Response:
    """Return whether the subject may do `verb` to `kind`, or to the one object `name` of it."""
    verb, kind, name = ask.text("verb"), ask.text("kind"), ask.text("name")
    kinds = {each.kind for each in ask.parts.resources.values()} | {"Token", "Generation", "Error"}
    if verb not in VERBS:
        raise ApiError(422, f"verb {(verb or '')[:40]!r}: it is one of {', '.join(VERBS)}")
    if kind not in kinds:
        raise ApiError(422, f"kind {(kind or '')[:40]!r}: it is one of {', '.join(sorted(kinds))}")
    app = name if kind == "App" else None
    if kind in ("Job", "Release") and name:
        stored = await ask.parts.store.get(kind, name)
        app = app_of(kind, stored.object) if stored is not None else None
    return json_answer({"allowed": allows(ask.subject, verb, kind, app)})
