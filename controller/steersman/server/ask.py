"""One request that was let in: who asks what of which object, and its parameters and body."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

import orjson
from starlette.requests import HTTPConnection, Request

from steersman.api.refusal import Path, Refused
from steersman.manifests.problem import Mark
from steersman.manifests.tree import Unreadable, data_of, read_trees
from steersman.server.parts import Parts
from steersman.server.policy import Subject, Verb, allows, denial
from steersman.server.resources import Resource, app_of
from steersman.server.status import ApiError

JSON = "application/json"
# As kubectl sends it: YAML, of which JSON is a part.
APPLY = "application/apply-patch+yaml"
# Deeper than any object of ours, and far from what recursion can take.
DEEPEST = 60


@dataclass(frozen=True, slots=True)
class Ask:
    """`verb` is what the policy allowed already, of `kind` and `name` if the path has one."""

    connection: HTTPConnection
    parts: Parts
    subject: Subject
    verb: Verb
    kind: str
    name: str | None

    @property
    def request(self) -> Request:
        if not isinstance(self.connection, Request):
            raise ApiError(400, "this path takes plain HTTP")
        return self.connection

    @property
    def resource(self) -> Resource:
        return self.parts.resources[self.kind]

    @property
    def named(self) -> str:
        """The name in the path; only for routes that have one."""
        return self.name or ""

    def may(self, verb: Verb, kind: str, obj: Mapping[str, Any]) -> bool:
        return allows(self.subject, verb, kind, app_of(kind, obj))

    def must(self, verb: Verb, kind: str, obj: Mapping[str, Any]) -> None:
        """Raise ApiError unless the subject may do `verb` to this object."""
        if not self.may(verb, kind, obj):
            metadata = obj.get("metadata")
            name = metadata.get("name") if isinstance(metadata, Mapping) else ""
            raise ApiError(403, denial(self.subject, verb, f"{kind.lower()}/{str(name)[:63]}"))

    async def note(self, reason: str, message: str, *, kind: str = "", name: str = "") -> None:
        """Record who did what, for whoever looks at the object's events."""
        kind, name = kind or self.kind, name or self.named
        text = f"{self.subject.name}: {message}"
        await self.parts.store.add_event(kind, name, "Normal", reason, text)

    def text(self, name: str) -> str | None:
        """Return a query parameter; raises ApiError when it is given twice."""
        values = self.connection.query_params.getlist(name)
        if len(values) > 1:
            raise ApiError(400, f"{name} is given {len(values)} times; give it once")
        return values[0] if values else None

    def flag(self, name: str) -> bool:
        """Return a query parameter that is true or false; "" counts as true, as in Kubernetes."""
        value = self.text(name)
        if value in (None, "false", "0"):
            return False
        if value in ("", "true", "1"):
            return True
        raise ApiError(400, f"{name}={value[:40]!r}: write true or false")

    def number(self, name: str, *, most: int = 2**63 - 1) -> int | None:
        """Return a query parameter that is a whole number from 0 to `most`."""
        value = self.text(name)
        if value in (None, ""):
            return None
        if not value.isascii() or not value.isdecimal() or int(value[:20]) > most:
            raise ApiError(400, f"{name}={value[:40]!r}: write a whole number from 0 to {most}")
        return int(value[:20])

    @property
    def is_dry(self) -> bool:
        """Whether everything is to be done but remembered."""
        value = self.text("dryRun")
        if value not in (None, "", "All"):
            raise ApiError(400, f"dryRun={value[:40]!r}: the one value there is is All")
        return value == "All"

    async def body(self, *types: str) -> Any:
        """Return the data in the body; raises ApiError for another content type or what is none."""
        given = self.request.headers.get("content-type", "").partition(";")[0].strip().lower()
        if given not in (types or (JSON,)):
            allowed = " or ".join(types or (JSON,))
            raise ApiError(415, f"Content-Type {given[:60] or 'is missing'}: send {allowed}")
        raw = await self.request.body()
        return parsed_yaml(raw) if given == APPLY else parsed(raw)

    async def options(self, *allowed: str) -> dict[str, Any]:
        """Return the body as a mapping with none but the `allowed` keys; {} if there is none."""
        raw = await self.request.body()
        if not raw:
            return {}
        data = await self.body()
        return mapping(data, allowed)


def mapping(data: Any, allowed: Collection[str]) -> dict[str, Any]:
    """Return `data` if it is a mapping with none but the `allowed` keys; raises ApiError."""
    if not isinstance(data, dict):
        raise ApiError(400, "the body is not a JSON object; send {...}")
    unknown = sorted(str(key)[:40] for key in data if key not in allowed)
    if unknown:
        known = ", ".join(sorted(allowed)) or "none"
        raise ApiError(422, f"{', '.join(unknown[:5])}: not known here; the keys are {known}")
    return data


def parsed(raw: bytes) -> Any:
    """Return JSON as data; raises ApiError. What it was is not repeated: it may hold a secret."""
    try:
        data = orjson.loads(raw)
    except orjson.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ApiError(400, f"the body is not JSON ({place}); send one JSON value") from None
    if _is_deeper(data, DEEPEST):
        raise ApiError(400, f"the body is nested deeper than {DEEPEST} levels")
    return data


def parsed_yaml(raw: bytes) -> Any:
    """Return one document of YAML as data, or JSON; raises ApiError. Nothing of it is repeated."""
    try:
        return parsed(raw)
    except ApiError:
        pass  # it may be what only YAML can say
    faults: list[str] = []

    def report(mark: Mark, path: Path, refused: Refused) -> None:
        faults.append(f"line {mark.line}, column {mark.column}: allowed: {refused.allowed}")

    try:
        found = [data_of(tree) for tree in read_trees(raw.decode(), report)]
    except (Unreadable, UnicodeDecodeError):
        found = []
    if faults or len(found) != 1:
        why = faults[0] if faults else "send one document, in UTF-8"
        raise ApiError(400, f"the body is not YAML that is read here: {why}")
    return found[0]


def _is_deeper(data: Any, left: int) -> bool:
    inside = data.values() if isinstance(data, dict) else data if isinstance(data, list) else ()
    return left == 0 or any(_is_deeper(each, left - 1) for each in inside)


def typed(data: Mapping[str, Any], key: str, type_: type, default: Any = None) -> Any:
    """Return the value of an option if it has the right type; raises ApiError."""
    value = data.get(key, default)
    is_right = isinstance(value, type_) and not (type_ is int and isinstance(value, bool))
    if value is not default and not is_right:
        raise ApiError(422, f"{key}: write {_WORDS.get(type_, type_.__name__)}")
    return value


_WORDS = {
    str: "text",
    bool: "true or false",
    int: "a whole number",
    dict: "a mapping",
    list: "a list",
}
