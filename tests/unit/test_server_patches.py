"""Merge patches and JSON patches, with the examples of their RFCs."""

import json
from typing import Any

import pytest

from steersman.server.patches import MOST_OPERATIONS, BadPatch, ProbeFailed, merged, patched

# RFC 7386, appendix A.
MERGES = [
    ({"a": "b"}, {"a": "c"}, {"a": "c"}),
    ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
    ({"a": "b"}, {"a": None}, {}),
    ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
    ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
    ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
    ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
    ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
    (["a", "b"], ["c", "d"], ["c", "d"]),
    ({"a": "b"}, ["c"], ["c"]),
    ({"a": "foo"}, None, None),
    ({"a": "foo"}, "bar", "bar"),
    ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
    ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
    ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
]


@pytest.mark.parametrize(("target", "patch", "result"), MERGES)
def test_a_merge_patch(target: Any, patch: Any, result: Any) -> None:
    before = json.dumps(target)
    assert merged(target, patch) == result
    assert json.dumps(target) == before


# RFC 6902, appendix A, and what it leaves to be worked out.
PATCHES = [
    ({"foo": "bar"}, [{"op": "add", "path": "/baz", "value": 1}], {"foo": "bar", "baz": 1}),
    ({"f": ["a", "c"]}, [{"op": "add", "path": "/f/1", "value": "b"}], {"f": ["a", "b", "c"]}),
    ({"f": ["a"]}, [{"op": "add", "path": "/f/-", "value": "b"}], {"f": ["a", "b"]}),
    ({"f": 1, "g": 2}, [{"op": "remove", "path": "/f"}], {"g": 2}),
    ({"f": [1, 2, 3]}, [{"op": "remove", "path": "/f/1"}], {"f": [1, 3]}),
    ({"f": 1}, [{"op": "replace", "path": "/f", "value": 2}], {"f": 2}),
    ({"f": 1}, [{"op": "replace", "path": "", "value": {"g": 2}}], {"g": 2}),
    (
        {"f": {"a": 1}, "g": {}},
        [{"op": "move", "from": "/f/a", "path": "/g/b"}],
        {"f": {}, "g": {"b": 1}},
    ),
    ({"f": [1, 2, 3]}, [{"op": "move", "from": "/f/0", "path": "/f/2"}], {"f": [2, 3, 1]}),
    ({"f": 1}, [{"op": "copy", "from": "/f", "path": "/g"}], {"f": 1, "g": 1}),
    ({"f": 1.0}, [{"op": "test", "path": "/f", "value": 1}], {"f": 1.0}),
    ({"/": 9, "~1": 10}, [{"op": "test", "path": "/~01", "value": 10}], {"/": 9, "~1": 10}),
    ({"a/b": 1}, [{"op": "replace", "path": "/a~1b", "value": 2}], {"a/b": 2}),
]


@pytest.mark.parametrize(("target", "operations", "result"), PATCHES)
def test_a_json_patch(target: Any, operations: Any, result: Any) -> None:
    before = json.dumps(target)
    assert patched(target, operations) == result
    assert json.dumps(target) == before


BAD = [
    {},
    ["x"],
    [{"op": "add", "path": "/a"}],
    [{"op": "add", "path": "a", "value": 1}],
    [{"op": "add", "path": "/x/y", "value": 1}],
    [{"op": "add", "path": "/l/9", "value": 1}],
    [{"op": "add", "path": "/l/01", "value": 1}],
    [{"op": "add", "path": "/l/-1", "value": 1}],
    [{"op": "add", "path": "/a/b", "value": 1}],
    [{"op": "remove", "path": "/nothing"}],
    [{"op": "remove", "path": "/l/7"}],
    [{"op": "move", "from": "/m", "path": "/m/n"}],
    [{"op": "nothing", "path": "/a"}],
    [{"op": "test", "path": "/a", "value": True}],
    [{"op": "test", "path": 3, "value": True}],
    [{"op": "test", "path": "/a", "value": 1}] * (MOST_OPERATIONS + 1),
]


@pytest.mark.parametrize("operations", BAD)
def test_patches_that_do_not_fit(operations: Any) -> None:
    with pytest.raises(BadPatch):
        patched({"a": 1, "l": [1], "m": {"n": {}}}, operations)


def test_true_is_not_one() -> None:
    with pytest.raises(ProbeFailed):
        patched({"a": [1]}, [{"op": "test", "path": "/a", "value": [True]}])


def test_copies_of_copies_do_not_grow_without_end() -> None:
    doubling = [{"op": "copy", "from": "/l", "path": "/l/-"}] * MOST_OPERATIONS
    with pytest.raises(BadPatch, match="too large"):
        patched({"l": [1]}, doubling)
