"""`--set` and its kin, in Helm's grammar; and how values are laid over each other."""

from typing import Any

import pytest

from steersman.api.refusal import Refused
from steersman.charting.flags import (
    parse_set,
    parse_set_file,
    parse_set_json,
    parse_set_string,
    with_assignments,
)
from steersman.charting.values import Value, flagged, merged, nearest, over_defaults, value_from


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("a=b", [(("a",), "b")]),
        ("a.b.c=d", [(("a", "b", "c"), "d")]),
        ("a=1,b=two", [(("a",), 1), (("b",), "two")]),
        ("a=", [(("a",), "")]),
        ("a=,b=x", [(("a",), ""), (("b",), "x")]),
        ("a=x=y", [(("a",), "x=y")]),
        ("a=true,b=FALSE,c=null", [(("a",), True), (("b",), False), (("c",), None)]),
        # What looks like a version or a telephone number stays one.
        ("a=0,b=-5,c=007,d=1.50", [(("a",), 0), (("b",), -5), (("c",), "007"), (("d",), "1.50")]),
        ("a=9223372036854775808", [(("a",), "9223372036854775808")]),
        ("a=9223372036854775807", [(("a",), 9223372036854775807)]),
        ("a=-", [(("a",), "-")]),
        (r"a\.b=c", [(("a.b",), "c")]),
        (r"a\=b=c", [(("a=b",), "c")]),
        (r"a\[0]=c", [(("a[0]",), "c")]),
        (r"a=b\,c,d=e", [(("a",), "b,c"), (("d",), "e")]),
        (r"a=C:\\x", [(("a",), r"C:\x")]),
        ("a={x,y}", [(("a",), ["x", "y"])]),
        ("a={1,true,},b=c", [(("a",), [1, True, ""]), (("b",), "c")]),
        ("a={}", [(("a",), [])]),
        (r"a={x\,y,z\}}", [(("a",), ["x,y", "z}"])]),
        ("a[0]=x", [(("a", 0), "x")]),
        ("a[0].b=x,a[1][2]=y", [(("a", 0, "b"), "x"), (("a", 1, 2), "y")]),
        ("a b=c d", [(("a b",), "c d")]),
    ],
)
def test_set_reads_helms_grammar(text: str, found: list[Any]) -> None:
    read = parse_set(text)
    assert read == found
    assert [type(value) for _, value in read] == [type(value) for _, value in found]


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "found nothing"),
        ("a", 'the key "a" without a value'),
        ("a,b=c", 'the key "a" without a value'),
        ("=b", "an empty key"),
        ("a..b=c", "an empty key"),
        ("a[x]=c", "the index [x]"),
        ("a[-1]=c", "the index [-1]"),
        ("a[65537]=c", "the index [65537]"),
        ("a[99999999999999999999]=c", "allowed: [0] to [65536]"),
        ("a[0=c", "the index"),
        ("a[0]b=c", "behind an index"),
        ("a[0]", "behind an index"),
        ("a={x", "a list that does not end"),
        ("a={x}y", '"y" behind }'),
        (".".join("a" * 31) + "=x", "more than 30 levels"),
    ],
)
def test_set_says_what_it_cannot_read(text: str, why: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_set(text)
    assert why in str(caught.value)


def test_set_string_keeps_words() -> None:
    assert parse_set_string("a=1,b={true,null}") == [(("a",), "1"), (("b",), ["true", "null"])]


def test_set_file_gives_what_the_file_holds() -> None:
    files = {"a.txt": "x,y=z\n", "b,c": "second"}
    read = parse_set_file(r"k=a.txt,l=b\,c", files.__getitem__)
    assert read == [(("k",), "x,y=z\n"), (("l",), "second")]


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ('a={"b":[1,"x"]}', [(("a",), {"b": [1, "x"]})]),
        ("a=1.5,b=[1,2],c=null", [(("a",), 1.5), (("b",), [1, 2]), (("c",), None)]),
        # An object is merged, where one at a path replaces what is there.
        ('{"a": 1, "b": {"c": 2}, "d": {}}', [(("a",), 1), (("b", "c"), 2), (("d",), {})]),
    ],
)
def test_set_json_gives_what_json_says(text: str, found: list[Any]) -> None:
    assert parse_set_json(text) == found


@pytest.mark.parametrize(
    "text", ["a=x", "a=[1", '{"a":1} x', "a=1 b=2", "a=NaN", "a=" + "[" * 9999]
)
def test_set_json_refuses_what_is_none(text: str) -> None:
    with pytest.raises(Refused):
        parse_set_json(text)


def value(data: object, name: str = "values.yaml") -> Value:
    return value_from(data, flagged(name))


def set_on(base: object, text: str, defaults: object = None) -> object:
    found = parse_set(text)
    return with_assignments(
        value(base), found, flagged(f"--set {text}"), value(defaults or {})
    ).plain


def test_assignments_build_what_is_not_there() -> None:
    assert set_on({}, "a.b[0].c=1,a.b[1].c=2") == {"a": {"b": [{"c": 1}, {"c": 2}]}}
    assert set_on({"a": "text"}, "a.b=1") == {"a": {"b": 1}}
    assert set_on({"a": [1, 2]}, "a[1]=x") == {"a": [1, "x"]}


def test_an_item_of_the_charts_own_list_can_be_set() -> None:
    assert set_on({}, "a.l[1].x=9", {"a": {"l": [{"x": 1}, {"x": 2, "y": 3}]}}) == {
        "a": {"l": [{"x": 1}, {"x": 9, "y": 3}]}
    }


def test_an_item_behind_the_end_is_refused() -> None:
    with pytest.raises(Refused, match=r"item \[2\] of a list of 1"):
        set_on({"a": ["x"]}, "a[2]=y")


def test_later_files_win_and_keep_the_rest() -> None:
    both = merged(value({"a": {"x": 1, "y": [1, 2]}, "b": 1}), value({"a": {"y": [3]}, "c": None}))
    assert both.plain == {"a": {"x": 1, "y": [3]}, "b": 1, "c": None}


def test_null_removes_what_the_chart_has() -> None:
    defaults = value({"health": {"http": "/", "timeout": "1s"}, "env": {"A": "1"}, "n": None})
    given = value({"health": {"http": None, "tcp": True}, "env": None, "unknown": {"x": None}})
    assert over_defaults(defaults, given).plain == {
        "health": {"timeout": "1s", "tcp": True},
        "n": None,
        "unknown": {},
    }


def test_each_value_knows_who_said_it_last() -> None:
    defaults = value({"a": {"x": 1, "y": 2}}, "values.yaml")
    given = merged(value({"a": {"x": 3}}, "prod.yaml"), value({"a": {"z": 4}}, "--set a.z=4"))
    root = over_defaults(defaults, given)
    names = {key: nearest(root, ("a", key)).origin.source.name for key in "xyz"}
    assert names == {"x": "prod.yaml", "y": "values.yaml", "z": "--set a.z=4"}
