"""What `put`, `apply`, `put_status` and `delete` mean, whatever holds the objects."""

import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

from steersman.store.deletion import Deletion
from steersman.store.errors import (
    BadObject,
    BeingDeleted,
    Conflict,
    NoOwner,
    NotStored,
    NotWritable,
    UidConflict,
)
from steersman.store.fields import OWNED
from steersman.store.managers import after_update, merge
from steersman.store.plain import is_same, parsed, text_of
from steersman.store.protocol import EVENT, FOREGROUND, SECRET, UPDATE, Object, Propagation, Stored
from steersman.store.tables import Logged, Row, Table

Answer = TypeVar("Answer", Stored, Stored | None)

_LONGEST_MANAGER = 128


@dataclass(frozen=True)
class Expected:
    """What a caller believes of the object that it changes; None believes nothing."""

    version: int | None = None
    uid: str | None = None

    def check(self, kind: str, name: str, seen: Row | None) -> None:
        """Raise UidConflict or Conflict when it is otherwise."""
        if self.uid is not None and (seen is None or seen.uid != self.uid):
            raise UidConflict(kind, name, self.uid, seen.uid if seen is not None else None)
        found = seen.resource_version if seen is not None else 0
        if self.version is not None and self.version != found:
            raise Conflict(kind, name, self.version, found)


def put(table: Table, target: Object, expected: Expected, manager: str, now: str) -> Stored:
    target = _checked(target)
    kind, name = _identity(target)
    if not isinstance(target.get("spec"), dict):
        raise BadObject(f"{kind} {name} lacks its spec")
    _check_writer(kind, manager)
    seen = table.row(kind, name)
    expected.check(kind, name, seen)
    made = _with_owned(target, seen)
    if seen is not None and is_same(made, seen.object):
        return seen.stored()
    _complete(made, seen, now)
    before = seen.object if seen is not None else None
    managed = after_update(seen.managed if seen is not None else "[]", before, made, manager, now)
    return _save(table, seen, made, managed, now)


def apply(
    table: Table, target: Object, expected: Expected, manager: str, force: bool, now: str
) -> Stored:
    target = _checked(target)
    kind, name = _identity(target)
    if not isinstance(target.get("spec", {}), dict):
        raise BadObject(f"{kind} {name} has a spec that is no map")
    _check_writer(kind, manager)
    seen = table.row(kind, name)
    expected.check(kind, name, seen)
    bare = {"apiVersion": target["apiVersion"], "kind": kind, "metadata": {"name": name}}
    before = parsed(seen.body) if seen is not None else bare
    managed = seen.managed if seen is not None else "[]"
    merged = merge(managed, before, target, manager, force, now)
    made = {**merged.object, "apiVersion": target["apiVersion"]}
    if not isinstance(made.get("spec"), dict):
        raise BadObject(f"{kind} {name} lacks its spec, and there is none yet to merge with")
    if seen is not None and is_same(made, seen.object) and merged.managed == managed:
        return seen.stored()
    _complete(made, seen, now)
    return _save(table, seen, made, merged.managed, now)


def put_status(table: Table, kind: str, name: str, status: Object, expected: Expected) -> Stored:
    seen = table.row(kind, name)
    expected.check(kind, name, seen)
    if seen is None:
        raise NotStored(kind, name)
    if not isinstance(status, dict):
        raise BadObject(f"the status of {kind} {name} is no map")
    _check_writer(kind, UPDATE)
    if is_same(status, seen.object.get("status") or {}):
        return seen.stored()
    made = {**seen.object, "status": parsed(text_of(status))}
    return table.write("MODIFIED", made, seen.managed).stored("configured")


def delete(
    table: Table, kind: str, name: str, expected: Expected, propagation: Propagation, now: str
) -> Stored | None:
    seen = table.row(kind, name)
    expected.check(kind, name, seen)
    if seen is None:
        if kind == SECRET:
            table.wipe_secret(name)
        return None
    _check_writer(kind, UPDATE)
    return Deletion(table, now).delete(seen, propagation)


def as_before(answer: Answer, logged: Sequence[Logged]) -> Answer:
    """Return what a dry run answers: the object with the resourceVersion that it still has."""
    if answer is None:
        return answer
    key = answer.kind, answer.name
    mine = [each for each in logged if (each.change.kind, each.change.name) == key]
    if mine:
        before = mine[0].object_before
        version = before["metadata"]["resourceVersion"] if before is not None else 0
        answer.metadata["resourceVersion"] = version
    return answer


def _save(table: Table, seen: Row | None, made: Object, managed: str, now: str) -> Stored:
    """Write a complete object, or let it go when it has nothing to wait for any more."""
    references = made["metadata"].get("ownerReferences") or ()
    known = seen.owners if seen is not None else ()
    _check_owners(table, made, [each for each in references if each not in known])
    if seen is None:
        return table.write("ADDED", made, managed).stored("created")
    deletion = Deletion(table, now)
    if not seen.is_being_deleted:
        row = table.write("MODIFIED", made, managed)
        deletion.settle(each for each in known if each not in references)
        return row.stored("configured")
    added = set(made["metadata"].get("finalizers") or ()) - set(seen.finalizers)
    if added:
        raise BeingDeleted(seen.kind, seen.name, f"finalizers ({', '.join(sorted(added))})")
    return deletion.go_on(seen, made, managed)


def _with_owned(target: Object, seen: Row | None) -> Object:
    """Return `target` with the metadata and status that are the store's, or nobody's yet."""
    metadata = {key: value for key, value in target["metadata"].items() if key not in OWNED}
    made = {key: value for key, value in target.items() if key not in ("metadata", "status")}
    if seen is None:
        return {**made, "metadata": metadata}
    if "status" in seen.object:
        made["status"] = seen.object["status"]
    owned = {key: value for key, value in seen.metadata.items() if key in OWNED}
    return {**made, "metadata": {**metadata, **owned}}


def _complete(made: Object, seen: Row | None, now: str) -> None:
    metadata = made["metadata"]
    if seen is None:
        metadata.update(uid=str(uuid.uuid4()), creationTimestamp=now, generation=1)
    elif not is_same(made["spec"], seen.object["spec"]):
        metadata["generation"] = seen.metadata["generation"] + 1


def _check_owners(table: Table, made: Object, references: Sequence[Object]) -> None:
    """Refuse new references that would make the object an orphan, or keep an owner that goes."""
    kind, name = made["kind"], made["metadata"]["name"]
    for each in references:
        owner = table.row(each["kind"], each["name"])
        is_there = owner is not None and owner.is_meant_by(each)
        if each.get("uid") is not None and not is_there:
            raise NoOwner(kind, name, f"{each['kind']} {each['name']}", each["uid"])
        if owner is not None and is_there and FOREGROUND in owner.finalizers:
            raise BeingDeleted(owner.kind, owner.name, f"dependents ({kind} {name})")


def _checked(target: Object) -> Object:
    """Return a copy of `target` in plain JSON, without what a caller may share or change."""
    copy = parsed(text_of(target))
    if not isinstance(copy, dict):
        raise BadObject("what is not a map cannot be stored")
    return copy


def _identity(target: Object) -> tuple[str, str]:
    kind, metadata = target.get("kind"), target.get("metadata")
    if not isinstance(kind, str) or not kind:
        raise BadObject("an object without a kind cannot be stored")
    name = metadata.get("name") if isinstance(metadata, dict) else None
    if not isinstance(metadata, dict) or not isinstance(name, str) or not name:
        raise BadObject(f"a {kind} without metadata.name cannot be stored")
    if not isinstance(target.get("apiVersion"), str):
        raise BadObject(f"{kind} {name} lacks its apiVersion")
    for field, is_valid in _SHAPES.items():
        if field in metadata and not is_valid(metadata[field]):
            raise BadObject(f"{kind} {name} has a metadata.{field} that is none")
    return kind, name


def _check_writer(kind: str, manager: str) -> None:
    if kind == EVENT:
        raise NotWritable(kind)
    if not isinstance(manager, str) or not 0 < len(manager) <= _LONGEST_MANAGER:
        raise BadObject(f"a manager is named by 1 to {_LONGEST_MANAGER} characters")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _is_text_map(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(item, str) for item in value.values())


def _are_references(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_reference, value))


def _is_reference(value: Any) -> bool:
    if not isinstance(value, dict):
        return False
    texts = (value.get("kind"), value.get("name"), value.get("uid", ""))
    return all(isinstance(text, str) for text in texts)


_SHAPES = {
    "labels": _is_text_map,
    "annotations": _is_text_map,
    "finalizers": _are_texts,
    "ownerReferences": _are_references,
}
