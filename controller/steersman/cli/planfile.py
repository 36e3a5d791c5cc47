"""Plans in files: what `steer diff --save` writes and `steer apply --plan` reads."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from steersman.api.errors import SteersmanError
from steersman.api.objects import parse_object
from steersman.api.secret import Secret
from steersman.manifests.document import Sourced, Text
from steersman.manifests.problem import Mark
from steersman.manifests.tree import Scalar
from steersman.planning.plans import MAX_BYTES, Plan, PlanUnreadable, read_plan, write_plan

if TYPE_CHECKING:
    from steersman.cli.context import Work


class ValueInManifest(SteersmanError):
    """A plan would have to hold a secret value."""

    def __init__(self, secret: str, key: str) -> None:
        super().__init__(
            f"secret {secret}: the value of {key} stands in the manifest and is new, and a plan"
            f" holds no values: apply the Secret first, or seal it (`steer secret seal`) or say"
            " where it comes from (fromEnv, fromFile, fromExec)"
        )


class NotWritten(SteersmanError):
    """The file of a plan cannot be written or read."""

    def __init__(self, file: Path, error: OSError) -> None:
        super().__init__(f"plan {file}: {error.strerror}; name a file in a folder of yours")


async def with_sources(work: Work, plan: Plan, given: Sequence[Sourced]) -> Plan:
    """Return the plan with where values come from in place of their digests."""
    objects = {(doc["kind"], doc["metadata"]["name"]): dict(doc) for doc in plan.objects}
    bases = {}
    for each in given:
        if isinstance(each.obj, Secret):
            masked = objects["Secret", each.obj.name]
            stored = await work.store.get("Secret", each.obj.name)
            kept = stored.spec.get("data", {}) if stored is not None else {}
            spec = {**masked["spec"], "data": _sources(each.obj, masked["spec"]["data"], kept)}
            objects["Secret", each.obj.name] = {**masked, "spec": spec}
            bases[each.obj.name] = str(each.base_dir.absolute())
    return plan.model_copy(update={"objects": tuple(objects.values()), "bases": bases})


def _sources(secret: Secret, digests: Mapping[str, Any], kept: Mapping[str, Any]) -> dict[str, Any]:
    """Return the data of a Secret without a value in it; raises ValueInManifest."""
    found = {}
    for key, source in secret.spec.data.items():
        if source.value is None:
            found[key] = source.model_dump(mode="json", by_alias=True, exclude_none=True)
        elif kept.get(key) == digests[key]:
            found[key] = digests[key]
        else:
            raise ValueInManifest(secret.name, key)
    return found


def save(plan: Plan, file: Path) -> None:
    """Write a plan whole or not at all; only its owner may read it."""
    temporary = file.with_name(f".{file.name}.{os.getpid()}.tmp")
    try:
        descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(write_plan(plan))
        os.replace(temporary, file)
    except OSError as error:
        temporary.unlink(missing_ok=True)
        raise NotWritten(file, error) from error


def load_plan(file: Path) -> tuple[Plan, tuple[Sourced, ...]]:
    """Return a plan and its objects, whose Secrets have no values yet; raises PlanUnreadable."""
    try:
        with file.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise NotWritten(file, error) from error
    if len(raw) > MAX_BYTES:
        raise PlanUnreadable(str(file), "it is longer than any plan")
    plan = read_plan(raw.decode("utf-8", "replace"), str(file))
    return plan, tuple(_sourced(doc, plan, file) for doc in plan.objects)


def _sourced(document: Mapping[str, Any], plan: Plan, file: Path) -> Sourced:
    try:
        obj = parse_object(document)
    except SteersmanError as error:
        raise PlanUnreadable(str(file), f"one of its objects is none ({error})") from error
    base = plan.bases.get(obj.name) if isinstance(obj, Secret) else None
    source = Text(str(file), Path(base) if base is not None else file.parent, "")
    return Sourced(obj, source, Scalar(Mark(1, 1), None, "", is_plain=True))
