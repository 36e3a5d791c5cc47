"""Whether an object may come in by the API: valid, fitting to the others, and within a scope."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.objects import AnyObject, parse_object
from steersman.api.secret import Secret
from steersman.control.secrets import SecretReader, Source
from steersman.manifests.document import Sourced, Text
from steersman.manifests.problem import Mark
from steersman.manifests.tree import Scalar
from steersman.sealing.keyring import Keyring
from steersman.server.ask import Ask
from steersman.server.policy import Verb
from steersman.server.resources import Resource
from steersman.server.status import ApiError, invalid

# What names a file, a variable or a program would mean those of the daemon's machine.
SENT: frozenset[Source] = frozenset({"value", "sealed"})
_ELSEWHERE = ("from_file", "from_env", "from_exec")


def parse(resource: Resource, data: Any, name: str | None) -> AnyObject:
    """Return the object that a body says; raises ApiError with every fault and its field."""
    if not isinstance(data, dict):
        raise ApiError(400, "the body is not a JSON object; send {...}")
    data = {**data, "metadata": unmanaged(data.get("metadata"))}
    for key, wanted in (("apiVersion", "steersman/v1"), ("kind", resource.kind)):
        if data.get(key) != wanted:
            found = str(data.get(key, "nothing"))[:60]
            cause = {"reason": "FieldValueInvalid", "message": f"must be {wanted}", "field": key}
            raise ApiError(422, f"{key} is {found!r}; it must be {wanted}", causes=[cause])
    try:
        obj = resource.model.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        raise invalid(resource.kind, error) from None
    if name is not None and obj.name != name:
        raise ApiError(400, f"metadata.name is {obj.name}, and the path says {name[:63]}")
    _refuse_places(obj)
    return obj


def unmanaged(metadata: Any) -> Any:
    """Return metadata without who manages which field: what was read is sent back whole."""
    if not isinstance(metadata, dict):
        return metadata
    return {key: value for key, value in metadata.items() if key != "managedFields"}


def _refuse_places(obj: AnyObject) -> None:
    """Refuse what only means something on another machine, or in another folder."""
    path = obj.spec.source.path if isinstance(obj, App) else None
    if path is not None and not path.startswith("/"):
        raise _at("spec.source.path", "a relative path", "an absolute path where the daemon is")
    identity = obj.spec.identity if isinstance(obj, Host) else None
    if identity is not None and not identity.startswith(("/", "~")):
        raise _at("spec.identity", "a relative path", "an absolute path where the daemon is")
    if isinstance(obj, Secret):
        for key, source in obj.spec.data.items():
            if any(getattr(source, each) is not None for each in _ELSEWHERE):
                raise _at(
                    f"spec.data.{key}",
                    "a file, variable or command",
                    "value or sealed: `steer apply` reads the others where it runs",
                )


def _at(field: str, found: str, allowed: str) -> ApiError:
    text = f"found {found}; allowed: {allowed}"
    cause = {"reason": "FieldValueInvalid", "message": text, "field": field}
    return ApiError(422, f"{field}: {text}", causes=[cause])


def check_scope(ask: Ask, obj: AnyObject, before: Mapping[str, Any] | None) -> None:
    """Raise ApiError unless who asks may bring this object in the place of `before`.

    Whoever deploys one app must not come by others' secrets through it: neither by naming them,
    nor by running as another user, nor by having the daemon's own files built into it.
    """
    verb: Verb = "create" if before is None else "update"
    app = getattr(obj.spec, "app", None)
    ask.must(verb, obj.kind, {"metadata": {"name": obj.name}, "spec": {"app": app}})
    if before is not None:
        ask.must(verb, obj.kind, before)
    if ask.subject.is_admin or not isinstance(obj, App):
        return
    known = parse_object(dict(before)) if before is not None else None
    former = known if isinstance(known, App) else None
    _check_deployed(obj, former)


def _check_deployed(app: App, former: App | None) -> None:
    had = set(former.spec.config.secrets) if former is not None else set()
    new = sorted(set(app.spec.config.secrets) - had)
    if new:
        raise _beyond("spec.config.secrets", f"{', '.join(new)}: its app did not have them")
    if app.spec.user != (former.spec.user if former is not None else None):
        raise _beyond("spec.user", "the user of an app")
    source = app.spec.source
    is_local = source.path is not None or (
        source.git is not None and source.git.url.startswith(("/", "file:"))
    )
    if is_local and (former is None or former.spec.source != source):
        raise _beyond("spec.source", "a source among the daemon's own files")


def _beyond(field: str, what: str) -> ApiError:
    return ApiError(
        403,
        f"{field}: {what}; only an admin may set that, and it stays for whoever deploys",
        causes=[{"reason": "FieldValueForbidden", "message": what, "field": field}],
    )


def sourced(obj: AnyObject) -> Sourced:
    """Return an object as verbs take it, although it came in no file."""
    return Sourced(obj, Text("the request", Path("/"), ""), Scalar(Mark(1, 1), "", "", True))


async def with_values(secret: Secret, keys: Keyring) -> Secret:
    """Return a Secret with its sealed values opened; raises SecretUnresolved."""
    (read,) = await SecretReader(keys, {}, allowed=SENT).read([sourced(secret)])
    return read.obj if isinstance(read.obj, Secret) else secret
