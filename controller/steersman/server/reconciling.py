"""Looks on demand: at apps, at repositories of manifests, and at hosts of forgotten apps."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from starlette.responses import Response

from steersman.control.answers import encode_adopted, encode_followed, encode_outcome
from steersman.server.ask import Ask, mapping, typed
from steersman.server.hosts import texts
from steersman.server.objects import json_answer
from steersman.server.status import ApiError
from steersman.server.streams import told


async def app(ask: Ask) -> Response:
    """Bring an app to what it asks for, now."""
    await ask.options()

    async def work() -> Any:
        await ask.note("Reconciled", f"reconcile of app/{ask.named}")
        return encode_outcome(await ask.parts.controller.reconcile(ask.named))

    return told(ask, work)


async def repository(ask: Ask) -> Response:
    """Look where a repository stands, now; with `asked` its commit is applied again."""
    is_asked = typed(await ask.options("asked"), "asked", bool, False)

    async def work() -> Any:
        await ask.note("Reconciled", f"reconcile of repository/{ask.named}")
        return encode_followed(await ask.parts.repositories.reconcile(ask.named, is_asked=is_asked))

    return told(ask, work)


async def adopt(ask: Ask) -> Response:
    """Know apps again that hosts hold and nobody here knows."""
    names = texts(mapping(await ask.body(), ("names",)), "names")

    async def work() -> Any:
        for name in names:
            await ask.note("Adopted", f"adopts the apps of host/{name[:63]}", name=name[:63])
        return encode_adopted(await ask.parts.controller.adoption.adopt(names))

    return told(ask, work)


async def git_repository(ask: Ask) -> Response:
    """Make a repository to push to, and an app that is deployed from it."""
    given = mapping(await ask.body(), ("ref", "routes"))
    ref, routes = typed(given, "ref", str), texts(given, "routes")
    if ref is None:
        raise ApiError(422, "ref: name the branch that is deployed, such as main")

    async def work() -> Any:
        made = await ask.parts.pushes.create(ask.named, ref, routes)
        if made.is_new:
            message = f"made a repository to push to for app/{ask.named}"
            await ask.note("RepositoryMade", message, kind="App")
        return asdict(made)

    return told(ask, work)


async def recipient(ask: Ask) -> Response:
    """Return whom to seal to, so that the controller can open it: its own key comes first.

    They are public; the key is made when it is first asked for, as by `steer secret seal`.
    """
    keys = ask.parts.keys
    keys.make()
    return json_answer({"recipients": keys.recipients()})
