"""Values against a chart's values.schema.json: the only module that knows jsonschema-rs.

Runs in the rendering process: a chart's patterns may take any time, and its references lead
anywhere.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, NoReturn

import jsonschema_rs as rs

Path = tuple[str | int, ...]

_TYPES = {
    "array": "a list", "boolean": "true or false", "integer": "a whole number", "null": "nothing",
    "number": "a number", "object": "a mapping", "string": "text",
}  # fmt: skip
_BOUNDS = {
    "minimum": "{} or more", "maximum": "{} or less", "exclusiveMinimum": "more than {}",
    "exclusiveMaximum": "less than {}", "minLength": "text of {} characters or more",
    "maxLength": "text of {} characters or fewer", "minItems": "a list of {} or more",
    "maxItems": "a list of {} or fewer", "minProperties": "a mapping of {} or more",
    "maxProperties": "a mapping of {} or fewer", "multipleOf": "a multiple of {}",
    "pattern": "text that fits {}", "const": "{}", "format": "text in the format {}",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Misfit:
    """A value that the schema refuses; `is_schema` when it is the schema that is wrong."""

    path: Path
    found: str
    allowed: str
    hint: str = ""
    is_schema: bool = False

    def data(self) -> dict[str, Any]:
        return asdict(self)


def check(values: Mapping[str, Any], schema: Mapping[str, Any]) -> list[Misfit]:
    """Return everything about `values` that `schema` refuses, or what is wrong with the schema."""
    try:
        validator = rs.validator_for(dict(schema), retriever=_refuse)
    except rs.ValidationError as error:
        message = str(error.message)
        if "registry" in message:
            message = "a reference that leads out of the file"
        allowed = "a JSON Schema that needs no other file"
        return [Misfit(tuple(error.instance_path), message, allowed, is_schema=True)]
    faults: dict[tuple[Path, str], Misfit] = {}
    for misfit in validator.iter_errors(dict(values)):
        for each in _misfits(misfit, schema):
            faults.setdefault((each.path, each.found), each)
    return list(faults.values())


def _refuse(uri: str) -> NoReturn:
    raise ValueError(f"{uri} is not read")


def _misfits(error: rs.ValidationError, schema: Mapping[str, Any]) -> Iterator[Misfit]:
    path: Path = tuple(error.instance_path)
    # Each kind has its own attributes, which the stubs do not tell.
    kind: Any = error.kind
    hint = _description(schema, error.schema_path[:-1])
    match kind.name:
        case "additionalProperties" | "unevaluatedProperties":
            known = ", ".join(_at(schema, error.schema_path[:-1]).get("properties", ()))
            for key in kind.unexpected:
                yield Misfit((*path, key), f"the unknown key {key!r}", known or "no keys", hint)
        case "required":
            inner = [*error.schema_path[:-1], "properties", kind.property]
            wanted = _described(_at(schema, inner))
            said = _description(schema, inner)
            yield Misfit((*path, kind.property), "nothing, and it is required", wanted, said)
        case "anyOf" | "oneOf" | "oneOfNotValid":
            yield Misfit(path, _shown(error.instance), _choices(schema, error.schema_path), hint)
        case _:
            yield Misfit(path, _shown(error.instance), _allowed(kind, error), hint)


def _allowed(kind: Any, error: rs.ValidationError) -> str:
    if kind.name == "type":
        return " or ".join(_TYPES[str(each)] for each in kind.types)
    if kind.name == "enum":
        return " or ".join(_json(each) for each in kind.options)
    if kind.name in _BOUNDS:
        value = kind.value if kind.name == "pattern" else _json(kind.value)
        return _BOUNDS[kind.name].format(value)
    return f"what fits the chart's schema ({error.message})"


def _choices(schema: Mapping[str, Any], path: Sequence[str | int]) -> str:
    choices = _walk(schema, path)
    described = [_described(each) for each in choices] if isinstance(choices, list) else []
    return " or ".join(dict.fromkeys(described)) or "what fits the chart's schema"


def _described(schema: Any) -> str:
    if not isinstance(schema, Mapping):
        return "a value"
    if "enum" in schema:
        return " or ".join(_json(each) for each in schema["enum"])
    types = schema.get("type", ())
    named = [types] if isinstance(types, str) else types
    return " or ".join(_TYPES.get(str(each), "a value") for each in named) or "a value"


def _description(schema: Mapping[str, Any], path: Sequence[str | int]) -> str:
    return str(_at(schema, path).get("description", ""))


def _at(schema: Mapping[str, Any], path: Sequence[str | int]) -> Mapping[str, Any]:
    found = _walk(schema, path)
    return found if isinstance(found, Mapping) else {}


def _walk(schema: Any, path: Sequence[str | int]) -> Any:
    here = schema
    for part in path:
        # A `$ref` in the path is followed by what stands at its target.
        if part == "$ref" and isinstance(here, Mapping):
            target = str(here.get("$ref", "")).removeprefix("#/").split("/")
            here = _walk(schema, target)
        elif isinstance(here, Mapping):
            here = here.get(part)
        elif isinstance(here, list) and isinstance(part, int) and part < len(here):
            here = here[part]
        else:
            return None
    return here


def _shown(value: Any) -> str:
    if isinstance(value, Mapping):
        return "a mapping"
    if isinstance(value, list):
        return "a list"
    return "nothing" if value is None else _json(value)


def _json(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False)
