"""How objects go: finalizers hold them, and their dependents go with them or without them."""

from collections import deque
from collections.abc import Iterable, Sequence

from steersman.store.managers import after_update
from steersman.store.protocol import FOREGROUND, SECRET, Object, Propagation, Stored
from steersman.store.tables import Row, Table

_COLLECTOR = "garbage-collector"


class Deletion:
    """One deletion and all that follows from it, in one transaction.

    Long chains and cycles of owners are walked with lists, never by recursion.
    """

    def __init__(self, table: Table, now: str) -> None:
        self._table = table
        self._now = now
        self._leaving: deque[Row] = deque()
        self._doomed: set[str] = set()
        self._gone: dict[str, Row] = {}
        # Owners that may have waited for what has gone; in order, and each once.
        self._unsettled: dict[tuple[str, str], None] = {}

    def delete(self, seen: Row, propagation: Propagation) -> Stored:
        """Let an object go, or begin to."""
        row = seen
        if propagation == "orphan":
            for each in self._table.dependents(seen):
                self._disown(each, seen)
            row = self._table.row(seen.kind, seen.name) or seen
        if propagation == "foreground":
            self._mark_all(row)
        else:
            self._begin(row)
        # It may have waited for those that were its dependents until now.
        self._unsettled[seen.kind, seen.name] = None
        return self._outcome(seen)

    def go_on(self, seen: Row, made: Object, managed: str) -> Stored:
        """Save an object that is being deleted; it goes when no finalizer is left."""
        if made["metadata"].get("finalizers"):
            self._table.write("MODIFIED", made, managed)
            self._unsettled[seen.kind, seen.name] = None
        else:
            self._leave(Row(made, b"", managed))
        self._expect(seen.owners)
        return self._outcome(seen)

    def settle(self, references: Iterable[Object]) -> None:
        """Let owners go that waited only for an object which is not theirs any more."""
        self._expect(references)
        self._sweep()

    def _expect(self, references: Iterable[Object]) -> None:
        self._unsettled.update({(each["kind"], each["name"]): None for each in references})

    def _outcome(self, seen: Row) -> Stored:
        self._sweep()
        if (gone := self._gone.get(seen.uid)) is not None:
            return gone.stored("deleted")
        row = self._table.row(seen.kind, seen.name) or seen
        is_same = row.resource_version == seen.resource_version
        return row.stored("unchanged" if is_same else "configured")

    def _sweep(self) -> None:
        while self._leaving or self._unsettled:
            if self._leaving:
                self._remove(self._leaving.popleft())
            else:
                owner = next(iter(self._unsettled))
                del self._unsettled[owner]
                self._settle(*owner)

    def _begin(self, row: Row) -> None:
        if row.finalizers:
            self._mark(row)
        else:
            self._leave(row)

    def _leave(self, row: Row) -> None:
        if row.uid not in self._doomed:
            self._doomed.add(row.uid)
            self._leaving.append(row)

    def _remove(self, row: Row) -> None:
        self._gone[row.uid] = self._table.write("DELETED", row.object, row.managed)
        if row.kind == SECRET:
            self._table.wipe_secret(row.name)
        for each in self._table.dependents(row):
            if each.uid in self._doomed:
                continue
            if self._has_other_owner(each, row):
                self._disown(each, row)
            elif not each.is_being_deleted:
                self._begin(each)
        self._expect(row.owners)

    def _mark_all(self, first: Row) -> None:
        """Begin to delete an object and all that goes before it, the dependents of each."""
        todo, marked = deque([first]), dict[str, Row]()
        while todo:
            row = todo.popleft()
            if row.uid in marked:
                continue
            below = []
            for each in self._table.dependents(row):
                if each.uid != row.uid and self._has_other_owner(each, row):
                    self._disown(each, row)
                elif each.uid != row.uid:
                    below.append(each)
            marked[row.uid] = self._mark(row, FOREGROUND) if below else row
            todo.extend(below)
        for row in marked.values():
            self._begin(row)
        self._unsettled.update({(row.kind, row.name): None for row in reversed(marked.values())})

    def _settle(self, kind: str, name: str) -> None:
        """Let an object go that waited for its dependents, if nothing below it holds them.

        In a cycle each waits for the others: they go together when each waits for nothing else.
        """
        row = self._table.row(kind, name)
        if row is None or row.uid in self._doomed or FOREGROUND not in row.finalizers:
            return
        below = self._below(row)
        # With the object itself among them when it is part of a circle.
        if not all(each.is_being_deleted and _waits(each) for each in below):
            return
        for each in reversed([one for one in below if one.uid != row.uid]):
            self._leave(each)
        left = [each for each in row.finalizers if each != FOREGROUND]
        bare = _with(row, finalizers=left)
        if left:
            self._table.write("MODIFIED", bare, row.managed)
        else:
            self._leave(Row(bare, b"", row.managed))

    def _below(self, top: Row) -> list[Row]:
        found, todo = dict[str, Row](), deque([top])
        while todo:
            for each in self._table.dependents(todo.popleft()):
                if each.uid not in found and each.uid not in self._doomed:
                    found[each.uid] = each
                    todo.append(each)
        return list(found.values())

    def _mark(self, row: Row, *finalizers: str) -> Row:
        """Say when its deletion began, once, and what else it waits for."""
        added = [each for each in finalizers if each not in row.finalizers]
        if row.is_being_deleted and not added:
            return row
        made = _with(row, finalizers=[*row.finalizers, *added])
        if not row.is_being_deleted:
            generation = row.metadata["generation"] + 1
            made["metadata"].update(deletionTimestamp=self._now, generation=generation)
        return self._table.write("MODIFIED", made, row.managed)

    def _disown(self, row: Row, owner: Row) -> None:
        left = [each for each in row.owners if not owner.is_meant_by(each)]
        made = _with(row, ownerReferences=left)
        managed = after_update(row.managed, row.object, made, _COLLECTOR, self._now)
        self._table.write("MODIFIED", made, managed)

    def _has_other_owner(self, row: Row, owner: Row) -> bool:
        """Return whether an owner is left that is not about to take `row` along itself."""
        for each in row.owners:
            other = None if owner.is_meant_by(each) else self._table.row(each["kind"], each["name"])
            if other is None or not other.is_meant_by(each) or other.uid in self._doomed:
                continue
            if FOREGROUND not in other.finalizers:
                return True
        return False


def _waits(row: Row) -> bool:
    return list(row.finalizers) == [FOREGROUND]


def _with(row: Row, **lists: Sequence[object]) -> Object:
    """Return the object with other lists in its metadata; empty ones are left out."""
    metadata = {key: value for key, value in row.metadata.items() if key not in lists}
    filled = {key: list(value) for key, value in lists.items() if value}
    return {**row.object, "metadata": {**metadata, **filled}}
