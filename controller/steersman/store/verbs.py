"""The calls that change objects, the same over every table."""

from collections.abc import Callable

from steersman.store import objects
from steersman.store.objects import Answer, Expected
from steersman.store.protocol import UPDATE, Object, Propagation, Stored
from steersman.store.tables import Table

Verb = Callable[[Table, str], Answer]
"""What is done to a table at a time (RFC 3339)."""


class Verbs:
    """`put`, `apply`, `put_status` and `delete` of a store that can run a `Verb`."""

    async def _change(self, verb: Verb[Answer], dry_run: bool) -> Answer:
        """Run `verb` in a transaction, which a dry run undoes."""
        raise NotImplementedError

    async def put(
        self,
        target: Object,
        expected_resource_version: int | None = None,
        *,
        uid: str | None = None,
        manager: str = UPDATE,
        dry_run: bool = False,
    ) -> Stored:
        expected = Expected(expected_resource_version, uid)
        return await self._change(
            lambda table, now: objects.put(table, target, expected, manager, now), dry_run
        )

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
        expected = Expected(expected_resource_version, uid)
        return await self._change(
            lambda table, now: objects.apply(table, target, expected, manager, force, now), dry_run
        )

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
        expected = Expected(expected_resource_version, uid)
        return await self._change(
            lambda table, now: objects.put_status(table, kind, name, status, expected), dry_run
        )

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
        expected = Expected(expected_resource_version, uid)
        return await self._change(
            lambda table, now: objects.delete(table, kind, name, expected, propagation, now),
            dry_run,
        )
