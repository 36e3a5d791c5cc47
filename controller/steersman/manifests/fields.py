"""What each key of a manifest is: type, default, choices and what its model says of it."""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from steersman.api.errors import SteersmanError
from steersman.manifests.schema import Schema, choices_in, resolved, schema_of

_SNAKE = re.compile(r"`([a-z]+(?:_[a-z]+)+)`")


class NoSuchField(SteersmanError):
    """A path of keys leads nowhere."""

    def __init__(self, path: str, key: str, keys: tuple[str, ...]) -> None:
        close = difflib.get_close_matches(key, keys, n=1)
        hint = f"did you mean {close[0]}?" if close else ""
        known = f"it has {', '.join(keys)}" if keys else "it has no fields"
        super().__init__(f"{path} has no field {key!r}; {hint or known}")


@dataclass(frozen=True, slots=True)
class FieldDoc:
    """One key. `type` is as kubectl writes it: `<string>`, `<[]Route>`, `<map[string]Process>`."""

    name: str
    type: str
    description: str = ""
    default: str | None = None
    choices: tuple[str, ...] = ()
    example: str | None = None
    is_required: bool = False
    fields: tuple[FieldDoc, ...] = ()


def field_at(kind: str, path: tuple[str, ...]) -> FieldDoc:
    """Return what is at `path` in a kind, with all below it; raises NoSuchField.

    Lists are stepped into by themselves, and maps with or without one of their keys.
    """
    root = schema_of(kind)
    found = _doc(kind, root, root, is_required=True)
    way = kind.lower()
    is_map = False
    for key in path:
        inner = next((field for field in found.fields if field.name == key), None)
        if inner is None and is_map:
            is_map = False  # it was the name of an entry
            continue
        if inner is None:
            raise NoSuchField(way, key, tuple(field.name for field in found.fields))
        found, way, is_map = inner, f"{way}.{key}", inner.type.startswith("<map")
    return found


def _doc(name: str, schema: Schema, root: Schema, *, is_required: bool = False) -> FieldDoc:
    shape = _shape(schema, root)
    described = schema.get("description") or shape.model.get("description") or ""
    return FieldDoc(
        name=name,
        type=f"<{shape.type}>",
        description=_SNAKE.sub(lambda found: f"`{_camel(found[1])}`", described),
        default=_default(schema),
        choices=() if shape.model.get("properties") else choices_in(resolved(root, schema)),
        example=_example(schema),
        is_required=is_required,
        fields=tuple(
            _doc(key, each, root, is_required=key in shape.model.get("required", ()))
            for key, each in shape.model.get("properties", {}).items()
        ),
    )


@dataclass(frozen=True, slots=True)
class _Shape:
    """How a type is written, and the model inside of it; empty for plain values."""

    type: str
    model: Schema


def _shape(schema: Schema, root: Schema) -> _Shape:
    schema, name = resolved(root, schema), _name_of(schema)
    if "properties" in schema:
        return _Shape(name or "Object", schema)
    if "anyOf" in schema:
        shapes = [_shape(each, root) for each in schema["anyOf"]]
        model = next((shape.model for shape in shapes if shape.model), {})
        return _Shape(" or ".join(dict.fromkeys(shape.type for shape in shapes)), model)
    if schema.get("type") == "array":
        inner = _shape(schema.get("items", {}), root)
        return _Shape(f"[]{inner.type}", inner.model)
    if schema.get("type") == "object":
        values = schema.get("additionalProperties")
        inner = _shape(values if isinstance(values, Mapping) else {}, root)
        return _Shape(f"map[string]{inner.type}", inner.model)
    return _Shape(str(schema.get("type", "any")), {})


def _name_of(schema: Schema) -> str | None:
    """Return the name of the model that a schema refers to."""
    for each in (schema, *schema.get("anyOf", ())):
        if "$ref" in each:
            return str(each["$ref"]).removeprefix("#/$defs/")
    return None


def _default(schema: Schema) -> str | None:
    """Return a default that a person would write; those of whole models are their fields'."""
    default: Any = schema.get("default")
    if default is None or isinstance(default, dict | list):
        return None
    if isinstance(default, bool):
        return str(default).lower()
    if isinstance(default, float):
        # Durations are the only numbers that may be said with a unit.
        return f"{default:g}s" if "30s" in schema.get("examples", ()) else f"{default:g}"
    return str(default)


def _example(schema: Schema) -> str | None:
    examples = schema.get("examples", ())
    return str(examples[0]) if examples and not isinstance(examples[0], bool) else None


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(map(str.capitalize, rest))
