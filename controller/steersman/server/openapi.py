"""The API's own description (OpenAPI 3.1), made of its doors and of the models of its kinds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, get_args

from pydantic.json_schema import models_json_schema

from steersman.server.discovery import version
from steersman.server.doors import Door
from steersman.server.measured import LABELS
from steersman.server.policy import VERBS
from steersman.server.resources import Resource
from steersman.server.signalling import KINDS, SSE
from steersman.server.streams import NDJSON
from steersman.telemetry.sampling import How

Schema = dict[str, Any]

JSON = "application/json"
TEXT: Schema = {"type": "string"}
FLAG: Schema = {"type": "boolean"}
_REFS = "#/components/schemas/{model}"
_PATCHES = ("application/merge-patch+json", "application/apply-patch+yaml")


def document(doors: Sequence[Door], resources: Iterable[Resource]) -> Schema:
    """Return the description of every door."""
    kinds = {each.kind: each for each in resources}
    paths: dict[str, Schema] = {}
    for door in doors:
        if door.serve is not None:
            paths.setdefault(door.path, {})[door.method.lower()] = _operation(door, kinds)
    for path in ("/healthz", "/readyz", "/version", "/apis"):
        paths[path] = {"get": {"operationId": path[1:], "responses": _responses("200", {})}}
    return {
        "openapi": "3.1.0",
        "info": {"title": "steersman", "version": version()["steersman"]},
        "paths": paths,
        "components": {
            "schemas": {**_models(kinds.values()), "Status": _STATUS, "Objects": _objects(kinds)},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}],
    }


def _models(resources: Iterable[Resource]) -> dict[str, Schema]:
    models = [(each.model, "validation") for each in resources]
    _, schema = models_json_schema(models, by_alias=True, ref_template=_REFS)  # type: ignore[arg-type]
    made: dict[str, Schema] = schema["$defs"]
    for each in resources:
        # The models know these two by themselves, but a request has to say them.
        made[each.kind]["required"] = ["apiVersion", "kind", *made[each.kind]["required"]]
    return made


def _objects(kinds: Mapping[str, Resource]) -> Schema:
    written = [_ref(kind) for kind, each in kinds.items() if each.is_written]
    items = {"type": "array", "maxItems": 20, "items": {"oneOf": written}}
    return _mapping({"objects": items}, ["objects"])


def _operation(door: Door, kinds: Mapping[str, Resource]) -> Schema:
    name = "".join(part.strip("{}").title() for part in door.path.split("/")[4:])
    parameters = [_query(key, schema) for key, schema in _queries(door).items()]
    if "{name}" in door.path:
        parameters.append({"name": "name", "in": "path", "required": True, "schema": TEXT})
    made: Schema = {
        "operationId": f"{door.method.lower()}{name}",
        "parameters": parameters,
        "responses": _responses(*_answer(door, kinds)),
    }
    body = _body(door)
    if body is not None:
        made["requestBody"] = body
    return made


def _query(name: str, schema: Schema) -> Schema:
    return {"name": name, "in": "query", "schema": schema}


def _number(most: int = 2**31 - 1) -> Schema:
    return {"type": "integer", "minimum": 0, "maximum": most}


_DRY: dict[str, Schema] = {"dryRun": {"enum": ["All"]}}
_MANAGER: dict[str, Schema] = {"fieldManager": {"type": "string", "pattern": "^[a-z]{1,20}$"}}
_QUERIES: Mapping[str, dict[str, Schema]] = {
    "list": {
        "labelSelector": TEXT,
        "fieldSelector": TEXT,
        "limit": _number(500),
        "continue": TEXT,
        "resourceVersion": _number(),
        "watch": FLAG,
        "timeoutSeconds": {"type": "integer", "minimum": 1, "maximum": 86400},
    },
    "create": {**_DRY, **_MANAGER},
    "replace": {**_DRY, **_MANAGER},
    "patch": {**_DRY, **_MANAGER, "force": FLAG},
    "delete": {**_DRY, "propagationPolicy": {"enum": ["Background", "Foreground", "Orphan"]}},
    "logs": {
        "process": TEXT,
        "host": TEXT,
        "since": _number(),
        "tail": _number(1_000_000),
        "follow": FLAG,
    },
    "running": {"app": TEXT, "host": TEXT},
    "errors": {"app": TEXT, "name": TEXT},
    "measured": {
        "name": TEXT,
        **dict.fromkeys(LABELS, TEXT),
        "match": {"type": "string", "pattern": "^[^=&]+=[^&]*$"},
        "start": TEXT,
        "end": TEXT,
        "step": _number(86400),
        "by": TEXT,
        "how": {"enum": list(get_args(How))},
        "rate": FLAG,
        "latest": FLAG,
    },
    "marks": {"app": TEXT},
    "signals": {"app": TEXT, "kind": {"enum": list(KINDS)}},
}


def _queries(door: Door) -> dict[str, Schema]:
    if door.path.endswith("/can-i"):
        return {"verb": {"enum": list(VERBS)}, "kind": TEXT, "name": TEXT}
    return _QUERIES.get(door.rule, {})


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _mapping(properties: Mapping[str, Schema], required: Sequence[str] = ()) -> Schema:
    made = {"type": "object", "properties": dict(properties), "additionalProperties": False}
    return {**made, **({"required": list(required)} if required else {})}


def _texts(most: int = 20) -> Schema:
    return {"type": "array", "items": TEXT, "maxItems": most}


_GIVEN: Schema = {"type": "array", "items": _ref("Host"), "maxItems": 10}
_PRECONDITIONS = _mapping({"uid": TEXT, "resourceVersion": _number()})
_OPTIONS: Mapping[str, Schema] = {
    "undo": _mapping({"to": _number(), "force": FLAG}),
    "promote": _mapping({"full": FLAG}),
    "scale": _mapping({"counts": {"type": "object", "additionalProperties": _number(10_000)}}),
    "drain": _mapping({"force": FLAG, "within": {"type": "number"}}),
    "run": _mapping({"host": TEXT}),
    "jobrefresh": _mapping({"names": _texts()}),
    "adoptions": _mapping({"names": _texts()}),
    "hostchecks": _mapping({"names": _texts(), "hosts": _GIVEN}),
    "hostkeys": _mapping({"name": TEXT, "hosts": _GIVEN}),
    "hosttrust": _mapping({"name": TEXT, "hosts": _GIVEN, "lines": _texts(), "replace": FLAG}),
    "tokens": _mapping({"name": TEXT, "scopes": _texts(), "seconds": _number()}),
}


def _body(door: Door) -> Schema | None:
    """Return what a request's body may be, by content type."""
    last = door.path.rpartition("/")[2]
    match door.rule:
        case "create" | "replace":
            return _content({JSON: _ref(door.kind)})
        case "patch":
            patch: Schema = {"type": "object"}
            operations: Schema = {"type": "array", "items": {"type": "object"}}
            types = dict.fromkeys(_PATCHES, patch)
            return _content({**types, "application/json-patch+json": operations})
        case "apply" | "diff" | "changes":
            return _content({JSON: _ref("Objects")})
        case "git create":
            return _content({JSON: _mapping({"ref": TEXT, "routes": _texts()}, ["ref"])})
        case "reconcile" if door.kind == "Repository":
            return _content({JSON: _mapping({"asked": FLAG})}, is_required=False)
        case "delete":
            options = {"preconditions": _PRECONDITIONS, "propagationPolicy": TEXT}
            return _content({JSON: _mapping(options)}, is_required=False)
        case _ if door.method == "POST" and last in _OPTIONS:
            return _content({JSON: _OPTIONS[last]})
        case _:
            return None


def _content(types: Mapping[str, Schema], *, is_required: bool = True) -> Schema:
    content = {type_: {"schema": schema} for type_, schema in types.items()}
    return {"required": is_required, "content": content}


_STREAMED = {"apply", "diff", "drift", "rollout", "scale", "cordon", "check", "keys", "trust"}
_STREAMED |= {"logs", "run", "refresh", "reconcile", "adopt", "git create"}


def _answer(door: Door, kinds: Mapping[str, Resource]) -> tuple[str, Schema]:
    """Return the code of success, and what comes with it by content type."""
    if door.rule == "signals":
        return "200", {NDJSON: {}, SSE: {}}
    if door.rule in _STREAMED:
        return "200", {NDJSON: {}}
    if door.rule == "list" and door.kind in kinds:
        return "200", {JSON: {}, NDJSON: {}}
    return ("201" if door.rule in ("create", "tokens.create") else "200"), {JSON: {}}


def _responses(code: str, types: Mapping[str, Schema]) -> Schema:
    content = {type_: {"schema": schema} for type_, schema in (types or {JSON: {}}).items()}
    failed = {"description": "why not", "content": {JSON: {"schema": _ref("Status")}}}
    return {code: {"description": "done", "content": content}, "default": failed}


_STATUS: Schema = {
    "type": "object",
    "required": ["apiVersion", "kind", "status", "message", "code"],
    "properties": {
        "apiVersion": {"const": "v1"},
        "kind": {"const": "Status"},
        "status": {"enum": ["Success", "Failure"]},
        "message": TEXT,
        "reason": TEXT,
        "details": {"type": "object"},
        "code": {"type": "integer"},
    },
}
