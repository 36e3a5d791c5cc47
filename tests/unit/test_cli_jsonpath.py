"""JSONPath as kubectl reads it."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.api.errors import SteersmanError
from steersman.cli.jsonpath import BadPath, parse
from steersman.cli.jsonpath_nodes import OutOfRange

# The example of https://kubernetes.io/docs/reference/kubectl/jsonpath/, and what it says of it.
INPUT = json.loads("""
{"kind": "List",
 "items": [
  {"kind": "None",
   "metadata": {"name": "127.0.0.1",
                "labels": {"kubernetes.io/hostname": "127.0.0.1", "a": {"b": "inner"}}},
   "status": {"capacity": {"cpu":"4"},
              "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.1"}]}},
  {"kind": "None",
   "metadata": {"name": "127.0.0.2"},
   "status": {"capacity": {"cpu":"8"},
              "addresses": [{"type": "LegacyHostIP", "address": "127.0.0.2"},
                            {"type": "another", "address": "127.0.0.3"}]}}],
 "users": [{"name": "myself", "user": {}, "age": 3, "on": true},
           {"name": "e2e", "user": {"username": "admin", "password": "secret"}, "age": 4}]}
""")


@pytest.mark.parametrize(
    ("template", "shown"),
    [
        ("kind is {.kind}", "kind is List"),
        ("{.kind}", "List"),
        ("{['kind']}", "List"),
        ("{kind}", "List"),
        ("kind", "List"),
        (".kind", "List"),
        ("{$.kind}", "List"),
        ("{@.users[0].age}", "3"),
        ("{ .kind }", "List"),
        ("{..name}", "127.0.0.1 127.0.0.2 myself e2e"),
        ("{.items[*].metadata.name}", "127.0.0.1 127.0.0.2"),
        (".items[*].metadata.name", "127.0.0.1 127.0.0.2"),
        ("{.users[0].name}", "myself"),
        ("{.users[-1].name}", "e2e"),
        ("{.users[-1:].name}", "e2e"),
        ("{.users[0:1].name}", "myself"),
        ("{.users[::2].name}", "myself"),
        ("{.users[0,1]['name']}", "myself e2e"),
        ("{.users[1, 0].name}", "e2e myself"),
        ("{.items[*]['metadata.name', 'status.capacity']}",
         '127.0.0.1 127.0.0.2 {"cpu":"4"} {"cpu":"8"}'),
        ("{.items[0].metadata.labels['kubernetes.io/hostname']}", "127.0.0.1"),
        ("{.items[0].metadata.labels.kubernetes\\.io/hostname}", "127.0.0.1"),
        ("{.items[0].metadata.labels['kubernetes\\.io/hostname']}", "127.0.0.1"),
        ("{.items[0].metadata['labels.a.b']}", "inner"),
        ('{.users[?(@.name=="e2e")].user.password}', "secret"),
        ("{.users[?( @.name == 'e2e' )].age}", "4"),
        ("{.users[?(@.age>3)].name}", "e2e"),
        ("{.users[?(@.age<=3)].name}", "myself"),
        ("{.users[?(4>@.age)].name}", "myself"),
        ("{.users[?(@.age!=3)].name}", "e2e"),
        ("{.users[?(@.on==true)].name}", "myself"),
        ("{.users[?(@.age==true)].name}", ""),
        ("{.users[?(@.name>3)].name}", ""),
        ("{.users[?(@.user.username)].name}", "e2e"),
        ('{.items[?(@.status.addresses[*].type=="another")].metadata.name}', ""),
        ("{range .items[*]}[{.metadata.name}, {.status.capacity}] {end}",
         '[127.0.0.1, {"cpu":"4"}] [127.0.0.2, {"cpu":"8"}] '),
        ('{range .users[*]}{.name}{"\\t"}{.age}{"\\n"}{end}', "myself\t3\ne2e\t4\n"),
        ("{range .items[*]}{range .status.addresses[*]}{.type};{end}{$.kind},{end}",
         "LegacyHostIP;List,LegacyHostIP;another;List,"),
        ("{'}{'}{\"it's\"}", "}{it's"),
        ("{'\\u00e9\\ud800'}", "éud800"),
        ("{.users[0].on}{.users[0].user}", "true{}"),
        ("{.nope.deeper}", ""),
        ("{.users.*.name}", "myself e2e"),
        ("{.users[0].name.x[*]}", ""),
    ],
)  # fmt: skip
def test_what_templates_say(template: str, shown: str) -> None:
    assert parse(template).render(INPUT) == shown


@pytest.mark.parametrize(
    ("template", "at", "why"),
    [
        ("{.items[}", 9, "'}' in [ ]"),
        ("{.items[0}", 10, "where ] should stand"),
        ("{.items[0]", 1, "never closed"),
        ("{.a} {.b", 6, "never closed"),
        ("{.a[name]}", 5, "in [ ]"),
        ("{.a[::0]}", 5, "step"),
        ("{.a[?@.x]}", 6, "?(…)"),
        ("{.a[?(@.x=)]}", 10, "where ) should stand"),
        ("{.a[?(@.x==y)]}", 12, "in a filter"),
        ("{.a[?(@.x=='y)]}", 12, "quote is never closed"),
        ("{'open}", 2, "quote is never closed"),
        ("{range .a[*]}{.b}", 1, "no {end}"),
        ("{.a}{end}", 5, "without a range"),
        ("{}", 2, "a path"),
        ("", 1, "its end"),
        ("{.a.}", 5, "follow the dot"),
        ("{.a b}", 5, "where } should stand"),
        ("a b", 3, "after the path"),
        ("{.a" + "[?(@.b" * 30, 124, "20 levels"),
        ("x" * 10_001, 10_001, "beyond"),
    ],
)
def test_errors_say_where(template: str, at: int, why: str) -> None:
    with pytest.raises(BadPath) as error:
        parse(template)
    assert error.value.at == at, str(error.value)
    assert why in str(error.value)
    assert "{.items[*].metadata.name}" in str(error.value)


def test_an_item_that_is_not_there_is_an_error() -> None:
    with pytest.raises(OutOfRange, match=r"\[2\] in a list of 2"):
        parse("{.users[2]}").render(INPUT)
    assert parse("{.users[2:]}").render(INPUT) == ""


def test_find_returns_values_and_no_text() -> None:
    assert parse("a{.users[*].age}b{'c'}").find(INPUT) == [3, 4]
    assert parse("{range .users[*]}{.age}{end}").find(INPUT) == [3, 4]


@given(st.text(alphabet="{}[]().*?@$:,'\"\\=<>!-019 arnged\n", max_size=40))
def test_any_text_is_read_or_refused_with_its_place(text: str) -> None:
    try:
        parse(text).render(INPUT)
    except BadPath as error:
        assert 1 <= error.at <= len(text) + 1
    except SteersmanError:
        pass


KEYS = st.text(alphabet="abz-_/.09é '", min_size=1, max_size=6)
DOCUMENTS = st.recursive(
    st.integers() | st.booleans() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)


@st.composite
def walks(draw: st.DrawFn) -> tuple[Any, str, Any]:
    """Return a document, a path into it written in some way, and what stands there."""
    document: Any = draw(st.dictionaries(KEYS, DOCUMENTS, min_size=1))
    here = document
    path = draw(st.sampled_from(["", "$", "@"]))
    while isinstance(here, dict | list) and here and (not path.strip("$@") or draw(st.booleans())):
        if isinstance(here, list):
            at = draw(st.integers(-len(here), len(here) - 1))
            path, here = f"{path}[{at}]", here[at]
            continue
        key = draw(st.sampled_from(sorted(here)))
        here = here[key]
        escaped = "".join(f"\\{c}" if c in ".'\\ " else c for c in key)
        path += draw(st.sampled_from([f".{escaped}", f"['{escaped}']", f'["{key}"]']))
    return document, path, here


@given(walks())
def test_every_way_to_write_a_path_leads_there(walk: tuple[Any, str, Any]) -> None:
    document, path, there = walk
    assert parse(f"{{{path}}}").find(document) == [there]


BOUND = st.none() | st.integers(-6, 6)


@given(st.lists(st.integers(), max_size=5), BOUND, BOUND, st.none() | st.integers(1, 3))
def test_slices_are_pythons(
    items: list[int], start: int | None, end: int | None, step: int | None
) -> None:
    parts = ["" if each is None else str(each) for each in (start, end, step)]
    assert parse(f"{{[{':'.join(parts)}]}}").find(items) == items[start:end:step]
