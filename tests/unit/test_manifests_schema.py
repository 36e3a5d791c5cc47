"""The JSON Schema: it says what the models say, in words that errors can use."""

import json
from collections.abc import Iterator
from typing import Any

import pytest

from steersman.api.objects import KINDS, MANIFEST_KINDS
from steersman.api.refusal import Path
from steersman.manifests.schema import UnknownKind, describe, json_schema, keys_at, schema_at


def schemas_in(schema: Any) -> Iterator[dict[str, Any]]:
    if isinstance(schema, dict):
        yield schema
        for each in schema.values():
            yield from schemas_in(each)
    elif isinstance(schema, list):
        for each in schema:
            yield from schemas_in(each)


@pytest.mark.parametrize("kind", [None, *KINDS])
def test_every_schema_is_whole_and_plain_json(kind: str | None) -> None:
    schema = json.loads(json.dumps(json_schema(kind)))
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    refs = [each["$ref"] for each in schemas_in(schema) if isinstance(each.get("$ref"), str)]
    assert refs
    assert {ref.removeprefix("#/$defs/") for ref in refs} <= set(schema["$defs"])


def test_a_manifest_is_one_of_the_kinds_that_people_write() -> None:
    schema = json_schema()
    assert [each["$ref"].rpartition("/")[2] for each in schema["oneOf"]] == list(MANIFEST_KINDS)
    for kind in MANIFEST_KINDS:
        one = schema["$defs"][kind]
        assert one["required"] == ["apiVersion", "kind", "metadata", "spec"]
        assert one["properties"]["kind"]["const"] == kind
        assert one["properties"]["apiVersion"]["const"] == "steersman/v1"
        assert one["additionalProperties"] is False


def test_keys_are_those_of_manifests() -> None:
    assert "minReadySeconds" in keys_at("App", ("spec", "rollout"))
    assert "clientMaxBodySize" in keys_at("App", ("spec", "routes", 0))
    assert "fromFile" in keys_at("Secret", ("spec", "data", "ANY"))
    assert keys_at("App", ("spec", "config", "env")) == ()
    assert keys_at("App", ("spec", "none", "at", "all")) == ()
    assert all("_" not in key for key in keys_at("Host", ("spec",)))


@pytest.mark.parametrize(
    ("kind", "path", "words"),
    [
        ("App", ("spec", "processes", "web", "count"), "a whole number from 0 to 10000"),
        ("App", ("spec", "processes", "web", "limits", "cpu"), "a number above 0"),
        ("App", ("spec", "processes", "web", "limits", "tasks"), "a whole number, 1 or more"),
        ("App", ("spec", "processes", "web", "command"), "text or a list"),
        ("App", ("spec", "processes"), "a mapping of names to values"),
        ("App", ("spec", "processes", "web"), "a mapping with command"),
        ("App", ("spec", "rollout", "autoRollback"), "true or false"),
        ("App", ("spec", "routes"), "a list"),
        ("App", ("spec", "routes", 3, "host"), "text such as shop.example.com"),
        ("Host", ("spec", "become"), "sudo or none"),
        ("Host", ("spec", "hostKey"), "text or a list"),
        ("App", ("apiVersion",), "steersman/v1"),
        ("App", ("spec", "processes", "web", "health", "tcp"), "true"),
    ],
)
def test_a_value_is_described_in_words(kind: str, path: Path, words: str) -> None:
    assert describe(schema_at(kind, path)) == words


def test_every_value_of_every_kind_has_words() -> None:
    for kind in KINDS:
        for schema in schemas_in(json_schema(kind)["$defs"]):
            if "type" in schema and isinstance(schema["type"], str) and schema["type"] != "null":
                assert describe(schema) != "a value that fits"


def test_an_unknown_kind_has_no_schema() -> None:
    with pytest.raises(UnknownKind, match="App, Host"):
        json_schema("Pod")
