"""Edits of Secrets in a person's file: what is meant changes, and not one byte more."""

import re

import pytest

from steersman.manifests.edits import CannotEdit, with_recipients, with_sealed

BLOCK = """\
# kept in git
apiVersion: steersman/v1
kind: Host
metadata: {name: shop}
spec: {address: h1}
---
apiVersion: steersman/v1
kind: "Secret"
metadata:
  name: shop   # ours
spec:
  # who pays
  data:
    A: {value: hunter2-a}  # first
    B:
      # a note
      value: "hunter2 \\" b" # second

    C:
      value: >-
        hunter2-c
    D: {fromEnv: D}
    E:
      fromExec:
        - pass
        - shop/e   # last
# the end
"""


@pytest.mark.parametrize(
    ("key", "old", "new"),
    [
        ("A", "{value: hunter2-a}", '{sealed: "age:x"}'),
        ("B", 'value: "hunter2 \\" b"', 'sealed: "age:x"'),
        ("C", "value: >-\n        hunter2-c", 'sealed: "age:x"'),
        ("D", "{fromEnv: D}", '{sealed: "age:x"}'),
        ("E", "fromExec:\n        - pass\n        - shop/e", 'sealed: "age:x"'),
        ("NEW", "shop/e   # last", 'shop/e   # last\n    NEW: {sealed: "age:x"}'),
    ],
)
def test_a_value_is_replaced_where_it_stands(key: str, old: str, new: str) -> None:
    assert BLOCK.count(old) == 1
    assert with_sealed(BLOCK, "shop", key, "age:x") == BLOCK.replace(old, new)


def test_recipients_come_before_the_data_and_are_replaced_there() -> None:
    once = with_recipients(BLOCK, "shop", ["age1a", "age1b"])
    said = '  recipients:\n    - "age1a"\n    - "age1b"\n  data:\n'
    assert once == BLOCK.replace("  data:\n", said)
    assert with_recipients(once, "shop", ["age1c"]) == BLOCK.replace(
        "  data:\n", '  recipients:\n    - "age1c"\n  data:\n'
    )


JSON = (
    '{"apiVersion": "steersman/v1", "kind": "Secret", "metadata": {"name": "shop"},'
    ' "spec": {"data": {"A": {"value": "hunter2"}}}}'
)


def test_json_stays_json() -> None:
    import json

    text = with_sealed(JSON, "shop", "A", "age:x")
    text = with_sealed(text, "shop", "B", "age:y")
    spec = json.loads(with_recipients(text, "shop", ["age1a"]))["spec"]
    assert spec == {
        "recipients": ["age1a"],
        "data": {"A": {"sealed": "age:x"}, "B": {"sealed": "age:y"}},
    }


def test_a_key_goes_into_empty_data_and_into_a_last_line_without_an_end() -> None:
    empty = BLOCK[: BLOCK.index("  data:")] + "  data: {}"
    assert with_sealed(empty, "shop", "A", "age:x").endswith('data: {"A": {"sealed": "age:x"}}')
    last = BLOCK[: BLOCK.index("  # first")].rstrip()
    assert with_sealed(last, "shop", "B", "age:x") == last + '\n    B: {sealed: "age:x"}'


def test_other_line_ends_stay() -> None:
    text = BLOCK.replace("\n", "\r\n")
    text = with_recipients(text, "shop", ["age1a"])
    for key in ("A", "B", "NEW"):
        text = with_sealed(text, "shop", key, "age:x")
    assert re.search("[^\r]\n", text) is None
    assert re.search("\r[^\n]", text) is None


@pytest.mark.parametrize(
    ("text", "why"),
    [
        (BLOCK.replace("name: shop   # ours", "name: blog"), "no secret shop"),
        (BLOCK[: BLOCK.index("  data:")] + "  other: 1\n", "spec.data"),
    ],
)
def test_what_cannot_be_edited_is_told_with_the_way_out(text: str, why: str) -> None:
    with pytest.raises(CannotEdit, match=why) as caught:
        with_sealed(text, "shop", "A", "age:x")
    assert "; " in str(caught.value)
