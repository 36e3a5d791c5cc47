"""Small valid objects, and ways to look at what a store makes of them."""

import asyncio
from collections.abc import Sequence
from typing import Any

from steersman.store.protocol import Change, Object, ObjectStore, Stored, Watch

WITHIN = 60.0
"""Seconds that anything may take on a machine that is busy with other tests."""


def app(name: str = "shop", count: int = 1, **metadata: Any) -> Object:
    """Return an App; `count` is a number in its spec that a test may change."""
    web = {"command": "gunicorn shop.wsgi", "count": count}
    spec = {"source": {"path": "/srv/shop"}, "processes": {"web": web}}
    return _object("App", name, spec, metadata)


def host(name: str = "h1", address: str = "192.0.2.1", **metadata: Any) -> Object:
    return _object("Host", name, {"address": address}, metadata)


def owned_by(*owners: Stored) -> list[Object]:
    """Return `ownerReferences` to objects as they are stored."""
    return [{"kind": one.kind, "name": one.name, "uid": one.uid} for one in owners]


async def kept(store: ObjectStore, kind: str, name: str) -> Stored:
    """Return an object that must be there."""
    stored = await store.get(kind, name)
    assert stored is not None, f"{kind} {name} is gone"
    return stored


async def names(store: ObjectStore, kind: str) -> list[str]:
    return [one.name for one in await store.list(kind)]


async def take(watch: Watch, count: int) -> list[Change]:
    """Return the next changes; bookmarks do not count."""
    found: list[Change] = []
    async with asyncio.timeout(WITHIN):
        while len(found) < count:
            change = await anext(watch)
            found += [change] if change.type != "BOOKMARK" else []
    return found


def told(changes: Sequence[Change]) -> list[str]:
    """Return changes as texts: `ADDED App/shop`."""
    return [f"{one.type} {one.kind}/{one.name}" for one in changes]


def _object(kind: str, name: str, spec: Object, metadata: Object) -> Object:
    named = {"name": name, **metadata}
    return {"apiVersion": "steersman/v1", "kind": kind, "metadata": named, "spec": spec}
