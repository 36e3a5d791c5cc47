"""Fields, sets of them, and merging, where our own kinds do not reach."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.store.errors import FieldConflict
from steersman.store.fields import decoded, dotted, encoded, fields_of, with_field, without_field
from steersman.store.managers import Managers, Owner, after_update, merge
from steersman.store.plain import parsed, text_of

NOW = "2026-11-01T12:00:00Z"

KEYS = st.sampled_from(["a", "b", ".", "f:a", "ü"])
LEAVES: st.SearchStrategy[object] = st.sampled_from(
    [0, 1, True, "x", [], [1], [{"a": 1}], {}, None]
)
TREES = st.recursive(
    LEAVES, lambda below: st.dictionaries(KEYS, below, min_size=1, max_size=3), max_leaves=6
)
SPECS = st.dictionaries(KEYS, TREES, max_size=3)


def thing(spec: Any, **metadata: Any) -> dict[str, Any]:
    named = {"name": "t", **metadata}
    made = {"apiVersion": "v1", "kind": "Thing", "metadata": named, "spec": spec}
    # A copy in which nothing is shared, as the store makes one of all that it is given.
    return dict(parsed(text_of(made)))


def merged(
    seen: dict[str, Any], managed: str, spec: Any, manager: str = "me", force: bool = False
) -> tuple[Any, str]:
    done = merge(managed, seen, thing(spec), manager, force, NOW)
    return done.object["spec"], done.managed


@given(SPECS)
def test_fields_make_the_object_again(spec: dict[str, Any]) -> None:
    fields = fields_of(thing(spec))
    assert decoded(encoded(fields)) == fields.keys()
    made: dict[str, Any] = {"metadata": {"name": "t"}}
    for path, value in fields.items():
        with_field(made, path, value)
    assert made["spec"] == spec


@given(SPECS)
def test_taking_every_field_away_leaves_nothing(spec: dict[str, Any]) -> None:
    left = thing(spec)
    for path in fields_of(left):
        without_field(left, path, ())
    assert left["spec"] == {}


@given(SPECS, SPECS)
def test_a_set_may_hold_a_map_and_what_is_in_it(one: dict[str, Any], two: dict[str, Any]) -> None:
    paths = fields_of(thing(one)).keys() | fields_of(thing(two)).keys()
    assert decoded(encoded(paths)) == paths


@given(SPECS, SPECS)
def test_what_one_applies_is_all_there_is(first: dict[str, Any], second: dict[str, Any]) -> None:
    spec, managed = merged(thing({}), "[]", first)
    assert spec == first
    spec, managed = merged(thing(spec), managed, second)
    assert spec == second
    assert Managers.read(managed).of(Owner("me", "Apply")) == fields_of(thing(second)).keys()


@given(SPECS, SPECS, SPECS)
def test_two_who_force_get_what_they_want(
    mine: dict[str, Any], theirs: dict[str, Any], later: dict[str, Any]
) -> None:
    spec, managed = merged(thing({}), "[]", mine)
    spec, managed = merged(thing(spec), managed, theirs, "other", force=True)
    has(spec, theirs)
    spec, managed = merged(thing(spec), managed, later, force=True)
    has(spec, later)
    # Both stop: then nothing of either is left.
    spec, managed = merged(thing(spec), managed, {}, "other")
    spec, managed = merged(thing(spec), managed, {})
    assert fields_of(thing(spec)).keys() <= {("f:spec",)}


@given(SPECS, SPECS)
def test_without_force_nothing_of_others_changes(
    theirs: dict[str, Any], mine: dict[str, Any]
) -> None:
    spec, managed = merged(thing({}), "[]", theirs, "other")
    try:
        spec, managed = merged(thing(spec), managed, mine)
    except FieldConflict as conflict:
        assert conflict.fields
        return
    has(spec, theirs)
    has(spec, mine)


@given(SPECS, SPECS, SPECS)
def test_put_owns_what_it_changed_and_nobody_what_is_gone(
    applied: dict[str, Any], first: dict[str, Any], second: dict[str, Any]
) -> None:
    spec, managed = merged(thing({}), "[]", applied)
    managed = after_update(managed, thing(spec), thing(first), "update", NOW)
    managed = after_update(managed, thing(first), thing(second), "update", NOW)
    managers = Managers.read(managed)
    one, other = managers.of(Owner("me", "Apply")), managers.of(Owner("update", "Update"))
    assert not one & other
    assert one | other == fields_of(thing(second)).keys()


@pytest.mark.parametrize(
    ("live", "wanted", "path"),
    [
        ({"a": {"b": 1}}, {"a": 2}, "spec.a.b"),
        ({"a": {"b": 1}}, {"a": [1]}, "spec.a.b"),
        ({"a": 1}, {"a": {"b": 1}}, "spec.a"),
        ({"a": 1}, {"a": True}, "spec.a"),
        ({"a": []}, {"a": {}}, "spec.a"),
        ({"a": {}}, {"a": 1}, "spec.a"),
        ({"a": {"b": {"c": 1}}}, {"a": {"b": None}}, "spec.a.b.c"),
    ],
)
def test_what_changes_its_kind_is_a_conflict(live: Any, wanted: Any, path: str) -> None:
    spec, managed = merged(thing({}), "[]", live, "other")
    with pytest.raises(FieldConflict) as refused:
        merged(thing(spec), managed, wanted)
    assert [(one.path, one.manager) for one in refused.value.fields] == [(path, "other")]
    assert merged(thing(live), managed, wanted, force=True)[0] == wanted


def test_an_empty_map_is_no_claim_to_what_is_in_it() -> None:
    spec, managed = merged(thing({}), "[]", {"a": {}}, "other")
    spec, managed = merged(thing(spec), managed, {"a": {"b": 1}})
    assert spec == {"a": {"b": 1}}
    spec, managed = merged(thing(spec), managed, {"a": {}}, "third")
    assert spec == {"a": {"b": 1}}
    # The map stays for those who want there to be one.
    assert merged(thing(spec), managed, {})[0] == {"a": {}}


def test_paths_read_as_people_write_them() -> None:
    owner = {"kind": "App", "name": "shop", "uid": "u"}
    fields = fields_of(thing({"a": {"b": 1}}, finalizers=["x"], ownerReferences=[owner]))
    assert sorted(map(dotted, fields)) == [
        'metadata.finalizers["x"]',
        'metadata.ownerReferences[{"kind":"App","name":"shop"}]',
        "spec.a.b",
    ]


def test_an_entrys_time_is_that_of_its_last_change() -> None:
    later = "2026-11-01T13:00:00Z"
    first = merge("[]", thing({}), thing({"a": 1}), "me", False, NOW)
    same = merge(first.managed, thing({"a": 1}), thing({"a": 1}), "me", False, later)
    assert same.managed == first.managed
    changed = merge(first.managed, thing({"a": 1}), thing({"a": 2}), "me", False, later)
    assert changed.managed == first.managed.replace(NOW, later)


def has(spec: Any, wanted: Any) -> None:
    """Check that everything in `wanted` is in `spec`; an empty map only wants a map."""
    if not isinstance(wanted, dict):
        assert spec == wanted
        assert type(spec) is type(wanted)
        return
    assert isinstance(spec, dict)
    for key, below in wanted.items():
        has(spec[key], below)
