"""A store that lives in a daemon: the objects of the API, in the words of the store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any, Literal, NoReturn

import orjson

from steersman.client.api import Api
from steersman.client.errors import DaemonLost, DaemonUnreachable, OnlyHere
from steersman.client.paths import path_of
from steersman.control.faults import decode_error
from steersman.control.memory import NotFound
from steersman.store.errors import BadObject, NotStored, NotWritable
from steersman.store.protocol import (
    EVERYTHING,
    UPDATE,
    Change,
    Effect,
    Event,
    Lease,
    Object,
    Page,
    Propagation,
    Query,
    Stored,
)
from steersman.store.selectors import Selector

PAGE = 500
CHANGE = "Steersman-Change"
# Between attempts to go on with a watch, in seconds; a daemon that restarts is back soon.
AGAIN = (0.1, 0.2, 0.5, 1.0, 2.0, 3.0, 5.0, 5.0, 5.0, 5.0)


class RemoteStore:
    """The objects that a daemon keeps. What is its alone (leases, keys, values) is refused."""

    def __init__(self, api: Api) -> None:
        self._api = api

    async def revision(self) -> int:
        return (await self.page(limit=1)).revision

    async def get(self, kind: str, name: str) -> Stored | None:
        try:
            found = await self._api.call(
                "GET", path_of(kind, name), params={"managedFields": "true"}
            )
        except NotFound:
            return None
        return _stored(found.content)

    async def list(self, kind: str, selector: Selector | None = None) -> tuple[Stored, ...]:
        query = Query(frozenset({kind}), selector if selector is not None else Selector())
        items: list[Stored] = []
        token: str | None = None
        while True:
            page = await self.page(query, PAGE, token)
            items += page.items
            token = page.token
            if token is None:
                return tuple(items)

    async def page(
        self, query: Query = EVERYTHING, limit: int | None = None, token: str | None = None
    ) -> Page:
        params = {**_params(query), "managedFields": "true"}
        params |= {"limit": limit} if limit is not None else {}
        params |= {"continue": token} if token is not None else {}
        found = await self._api.json("GET", "/objects", params=params)
        metadata = found["metadata"]
        return Page(
            tuple(_from(each) for each in found["items"]),
            metadata["resourceVersion"],
            metadata.get("continue"),
            metadata.get("remainingItemCount"),
        )

    async def watch(
        self, since: int, query: Query = EVERYTHING, idle: float = 30.0
    ) -> AsyncGenerator[Change]:
        """Follow changes; a connection that breaks is made again where the last one came to."""
        failures = 0
        while True:
            try:
                async with aclosing(self._watched(since, query, idle)) as changes:
                    async for change in changes:
                        since, failures = max(since, change.revision), 0
                        yield change
            except (DaemonLost, DaemonUnreachable):
                if failures == len(AGAIN):
                    raise
                await asyncio.sleep(AGAIN[failures])
                failures += 1

    async def _watched(self, since: int, query: Query, idle: float) -> AsyncGenerator[Change]:
        params = {**_params(query), "watch": "true", "resourceVersion": since}
        params["idleMilliseconds"] = max(1, min(30_000, round(idle * 1000)))
        async with aclosing(self._api.lines("GET", "/objects", params=params)) as lines:
            async for line in lines:
                obj = line["object"]
                if line["type"] == "ERROR":
                    raise decode_error(obj["details"]["error"])
                revision = obj["metadata"]["resourceVersion"]
                if line["type"] == "BOOKMARK":
                    yield Change("BOOKMARK", revision)
                    continue
                name = obj["metadata"]["name"]
                yield Change(line["type"], revision, obj["kind"], name, orjson.dumps(obj))

    async def put(
        self,
        target: Object,
        expected_resource_version: int | None = None,
        *,
        uid: str | None = None,
        manager: str = UPDATE,
        dry_run: bool = False,
    ) -> Stored:
        path = _path(target)
        body = _sent(target, expected_resource_version, uid)
        is_new = expected_resource_version == 0
        return await self._write("PUT", path, body, _written(manager, dry_run), is_new=is_new)

    async def apply(
        self,
        target: Object,
        manager: str,
        *,
        force: bool = False,
        expected_resource_version: int | None = None,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> Stored:
        body = _sent(target, expected_resource_version, uid)
        params = {**_written(manager, dry_run), "force": "true" if force else "false"}
        type_, is_new = "application/apply-patch+yaml", expected_resource_version == 0
        return await self._write("PATCH", _path(target), body, params, type_, is_new=is_new)

    async def put_status(
        self,
        kind: str,
        name: str,
        status: Object,
        expected_resource_version: int | None = None,
        *,
        uid: str | None = None,
        dry_run: bool = False,
    ) -> Stored:
        """Only of objects that a client keeps for itself: others' the controller writes."""
        metadata = {"name": name}
        body = _sent({"kind": kind, "metadata": metadata}, expected_resource_version, uid)
        path, params = f"{path_of(kind, name)}/status", _written("", dry_run)
        return await self._write("PUT", path, {**body, "status": status}, params)

    async def delete(
        self,
        kind: str,
        name: str,
        expected_resource_version: int | None = None,
        *,
        uid: str | None = None,
        propagation: Propagation = "background",
        dry_run: bool = False,
    ) -> Stored | None:
        """Delete with all that the object left on hosts, as `steer delete` does."""
        wanted = {"uid": uid, "resourceVersion": expected_resource_version}
        conditions = {key: value for key, value in wanted.items() if value is not None}
        body = {"propagationPolicy": propagation.capitalize(), "preconditions": conditions}
        params = {"dryRun": "All"} if dry_run else {}
        try:
            return await self._write("DELETE", path_of(kind, name), body, params)
        except (NotFound, NotStored):
            return None

    async def events(
        self, kind: str | None = None, name: str | None = None, limit: int = 50
    ) -> tuple[Event, ...]:
        wanted = {"kind": kind, "name": name}
        params = {key: value for key, value in wanted.items() if value is not None}
        found = await self._api.json("GET", "/happened", params={**params, "limit": limit})
        return tuple(Event(**each) for each in found["items"])

    async def is_leased(self, name: str) -> bool:
        app = name.removeprefix("app/")
        return bool((await self._api.json("GET", f"{path_of('App', app)}/busy"))["busy"])

    async def close(self) -> None:
        """Whoever connected to the daemon closes the connection."""

    async def _write(
        self,
        method: str,
        path: str,
        body: Object,
        params: Mapping[str, str],
        type_: str = "application/json",
        *,
        is_new: bool = False,
    ) -> Stored:
        found = await self._api.call(
            method, path, data=body, params=params, type_=type_, is_new=is_new
        )
        change: Any = found.headers.get(CHANGE, "unchanged")
        return _stored(found.content, change)

    async def add_event(
        self,
        kind: str,
        name: str,
        type: Literal["Normal", "Warning"],
        reason: str,
        message: str,
        host: str | None = None,
    ) -> Event:
        _refuse("an event")

    async def compact(self, keep: int = 0) -> int:
        _refuse("its history")

    async def next_epoch(self, at_least: int = 1) -> int:
        _refuse("an epoch")

    async def acquire_lease(self, name: str, holder: str, ttl: float = 60.0) -> Lease:
        _refuse("a lease")

    async def renew_lease(self, lease: Lease, ttl: float = 60.0) -> None:
        _refuse("a lease")

    async def release_lease(self, lease: Lease) -> None:
        _refuse("a lease")

    async def key(self) -> bytes:
        _refuse("its key")

    async def put_secret(self, name: str, values: Mapping[str, str]) -> bool:
        _refuse("the values of a Secret")

    async def get_secret(self, name: str) -> Mapping[str, str] | None:
        _refuse("the values of a Secret")


def _refuse(what: str) -> NoReturn:
    raise OnlyHere(f"a daemon gives nobody {what}; run this where it runs, with --context local")


def _path(target: Object) -> str:
    """Return the path of an object; raises what a store raises for what is none."""
    kind, metadata = target.get("kind"), target.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    if not isinstance(kind, str) or not kind or not isinstance(name, str) or not name:
        raise BadObject("an object without a kind and a name cannot be stored")
    if kind == "Event":
        raise NotWritable(kind)
    return path_of(kind, name)


def _params(query: Query) -> dict[str, Any]:
    """Return what chooses the objects of a query, as the API's parameters."""
    labels = ",".join(term.text for term in query.labels.terms)
    fields = ",".join(
        f"{'.'.join(term.path)}{'!=' if term.negated else '='}{term.value}"
        for term in query.fields.terms
    )
    return {
        **({"kind": sorted(query.kinds)} if query.kinds is not None else {}),
        **({"labelSelector": labels} if labels else {}),
        **({"fieldSelector": fields} if fields else {}),
    }


def _written(manager: str, dry_run: bool) -> dict[str, str]:
    dry = {"dryRun": "All"} if dry_run else {}
    return {"fieldManager": manager, "managedFields": "true", **dry}


def _sent(target: Object, version: int | None, uid: str | None) -> Object:
    """Return an object as it is sent, with the state in which it is expected."""
    owned = ("uid", "resourceVersion", "managedFields")
    metadata = {key: value for key, value in target["metadata"].items() if key not in owned}
    metadata |= {"resourceVersion": version} if version else {}
    metadata |= {"uid": uid} if uid is not None else {}
    rest = {key: value for key, value in target.items() if key not in ("metadata", "status")}
    return {**rest, "metadata": metadata}


def _stored(raw: bytes, change: Effect = "unchanged") -> Stored:
    return _from(orjson.loads(raw), change)


def _from(obj: Object, change: Effect = "unchanged") -> Stored:
    metadata = dict(obj["metadata"])
    managed = orjson.dumps(metadata.pop("managedFields", [])).decode()
    return Stored({**obj, "metadata": metadata}, change, managed)
