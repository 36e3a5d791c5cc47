"""The JSON Schema (draft 2020-12) of what manifests may say, for editors and for error texts."""

import functools
from collections.abc import Mapping
from typing import Any

from pydantic.json_schema import models_json_schema

from steersman.api.errors import SteersmanError
from steersman.api.objects import KINDS, MANIFEST_KINDS
from steersman.api.refusal import Path

Schema = Mapping[str, Any]

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_SAFE_INTEGER = 2**31 - 1


class UnknownKind(SteersmanError):
    """A schema was asked for a kind that is not there."""

    def __init__(self, kind: str) -> None:
        super().__init__(f"there is no kind {kind!r}; the kinds are {', '.join(KINDS)}")


def json_schema(kind: str | None = None) -> dict[str, Any]:
    """Return the schema of one kind, or of every kind that people write when None.

    Raises UnknownKind.
    """
    if kind is not None and kind not in KINDS:
        raise UnknownKind(kind)
    kinds = MANIFEST_KINDS if kind is None else (kind,)
    definitions = _definitions(kinds)
    refs = [{"$ref": f"#/$defs/{each}"} for each in kinds]
    body = refs[0] if kind is not None else {"oneOf": refs}
    title = kind if kind is not None else "steersman manifest"
    return {"$schema": _DRAFT, "title": title, **body, "$defs": definitions}


def _definitions(kinds: tuple[str, ...]) -> dict[str, Any]:
    models = [(KINDS[kind], "validation") for kind in kinds]
    _, schema = models_json_schema(models, by_alias=True)  # type: ignore[arg-type]
    definitions: dict[str, Any] = _without_titles(schema["$defs"])
    for kind in kinds:
        # The models know these two by themselves, but a manifest has to say them.
        definitions[kind]["required"] = ["apiVersion", "kind", *definitions[kind]["required"]]
    return definitions


def _without_titles(schema: Any) -> Any:
    """Drop the titles pydantic makes from field names: editors show them instead of the text."""
    if isinstance(schema, list):
        return [_without_titles(each) for each in schema]
    if not isinstance(schema, dict):
        return schema
    return {
        key: _without_titles(value)
        for key, value in schema.items()
        if not (key == "title" and isinstance(value, str))
    }


@functools.cache
def schema_of(kind: str) -> Schema:
    """Return the cached schema of a kind, to look things up in; do not change it."""
    return json_schema(kind)


def schema_at(kind: str | Schema, path: Path) -> Schema:
    """Return the schema of the value at `path` in a `kind`, or in what has a schema of its own;
    empty when there is none."""
    root = schema_of(kind) if isinstance(kind, str) else kind
    here = resolved(root, root)
    for part in path:
        here = resolved(root, _child(here, part))
    return here


def keys_at(kind: str | Schema, path: Path) -> tuple[str, ...]:
    """Return the keys that the mapping at `path` may have, as far as they are fixed."""
    return tuple(schema_at(kind, path).get("properties", ()))


def _child(schema: Schema, part: str | int) -> Schema:
    if isinstance(part, int):
        return _as_schema(schema.get("items"))
    properties = schema.get("properties", {})
    # A pattern of pydantic's is the one that its keys are checked by.
    others = next(iter(schema.get("patternProperties", {}).values()), None)
    return _as_schema(properties.get(part, others or schema.get("additionalProperties")))


def _as_schema(found: object) -> Schema:
    return found if isinstance(found, Mapping) else {}


def resolved(root: Schema, schema: Schema) -> Schema:
    """Follow references, and step into the one choice of an optional value."""
    while True:
        if "$ref" in schema:
            schema = root["$defs"][schema["$ref"].removeprefix("#/$defs/")]
            continue
        choices = [each for each in schema.get("anyOf", ()) if each.get("type") != "null"]
        if len(choices) != 1:
            return schema
        schema = choices[0]


def choices_in(schema: Schema) -> tuple[str, ...]:
    """Return the values an enumeration may have, as they are written; else nothing."""
    values = schema.get("enum", [schema["const"]] if "const" in schema else [])
    return tuple(str(each).lower() if isinstance(each, bool) else str(each) for each in values)


def describe(schema: Schema) -> str:
    """Return in words what a value of this schema is."""
    if choices := choices_in(schema):
        return " or ".join(choices)
    if "anyOf" in schema:
        return " or ".join(dict.fromkeys(describe(each) for each in schema["anyOf"]))
    match schema.get("type"):
        case "string":
            return _described_text(schema)
        case "integer" | "number":
            return _described_number(schema)
        case "boolean":
            return "true or false"
        case "array":
            return "a list"
        case "object":
            return _described_mapping(schema)
        case _:
            return "a value that fits"


def _described_text(schema: Schema) -> str:
    if "examples" in schema:
        return f"text such as {schema['examples'][0]}"
    return f"text that fits {schema['pattern']}" if "pattern" in schema else "text"


def _described_number(schema: Schema) -> str:
    name = "a whole number" if schema["type"] == "integer" else "a number"
    least, most = schema.get("minimum"), schema.get("maximum")
    if "exclusiveMinimum" in schema:
        return f"{name} above {schema['exclusiveMinimum']}"
    if least is not None and most is not None and most < _SAFE_INTEGER:
        return f"{name} from {least} to {most}"
    return name if least is None else f"{name}, {least} or more"


def _described_mapping(schema: Schema) -> str:
    keys = schema.get("required") or list(schema.get("properties", ()))
    if not keys:
        return "a mapping of names to values"
    return f"a mapping with {', '.join(keys)}"
