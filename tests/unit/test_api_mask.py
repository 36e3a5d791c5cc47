"""Masks: what an app prints of its secrets, in the forms that programs print."""

import base64
import html
import json
import re
import shlex
from urllib.parse import quote, quote_plus

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.api.mask import Masks
from steersman.api.secret import MASK

SECRET = 'pa ss/"w&rd+$ü'


@pytest.fixture
def masks() -> Masks:
    made = Masks()
    made.learn([SECRET])
    return made


@pytest.mark.parametrize(
    "form",
    [
        SECRET,
        repr(SECRET),
        json.dumps(SECRET),
        json.dumps(SECRET, ensure_ascii=False),
        shlex.quote(SECRET),
        quote(SECRET),
        quote(SECRET, safe=""),
        quote_plus(SECRET),
        quote_plus(SECRET).lower(),
        repr(SECRET.encode()).removeprefix("b"),
        json.dumps(SECRET).replace("/", "\\/"),
        json.dumps(SECRET).replace("&", "\\u0026").replace("+", "\\u002b"),
        json.dumps(repr(SECRET)),
        repr(json.dumps({"token": SECRET}))[12:-3],
        html.escape(SECRET),
        SECRET.encode().hex(),
        base64.b64encode(SECRET.encode()).decode().rstrip("="),
        base64.urlsafe_b64encode(SECRET.encode()).decode(),
    ],
)
def test_a_value_is_masked_in_every_form(masks: Masks, form: str) -> None:
    said = masks.text(f"before {form} after")
    assert MASK in said
    assert said.startswith("before ") and said.endswith(" after")
    assert form.strip("'\"") not in said


@pytest.mark.parametrize("user", ["a", "ab", "abc", "abcd"])
def test_a_password_inside_base64_is_masked(masks: Masks, user: str) -> None:
    header = base64.b64encode(f"{user}:{SECRET}".encode()).decode()
    said = masks.text(f"Authorization: Basic {header}")
    assert MASK in said
    # What is left is too little to tell more than a character or two.
    assert (
        len(said.removeprefix("Authorization: Basic ").replace(MASK, "")) <= len(user) * 4 // 3 + 6
    )


def test_what_a_limit_left_of_a_value_is_masked(masks: Masks) -> None:
    assert masks.text(f"password {SECRET[:9]}…") == f"password {MASK}…"
    assert masks.text(f"password {SECRET[:9]}\nnext") == f"password {MASK}\nnext"
    assert masks.text(f"password {SECRET[:3]}") == f"password {SECRET[:3]}"


def test_a_value_that_begins_with_another_is_masked_whole() -> None:
    masks = Masks()
    masks.learn(["hunter2"])
    masks.learn(["hunter2-and-more"])
    assert masks.text("hunter2-and-more, hunter2") == f"{MASK}, {MASK}"


def test_what_is_too_short_to_be_a_secret_masks_nothing() -> None:
    masks = Masks()
    masks.learn(["", "a"])
    assert masks.text("a banana") == "a banana"


def test_characters_that_are_written_out_are_masked() -> None:
    masks = Masks()
    masks.learn(["non\u00a0breaking\u200esecret"])
    assert masks.text("x non\\xa0breaking\\u200esecret y") == f"x {MASK} y"


def test_data_is_masked_at_every_depth(masks: Masks) -> None:
    said = masks.data({"logs": [f"x {SECRET}", {"deep": (SECRET, 3)}], "n": None})
    assert said == {"logs": [f"x {MASK}", {"deep": [MASK, 3]}], "n": None}


@given(
    value=st.text(st.characters(exclude_categories=["Cc", "Cs"]), min_size=6, max_size=40),
    around=st.text(st.characters(exclude_categories=["Cc", "Cs"]), max_size=20),
)
def test_no_text_keeps_a_value(value: str, around: str) -> None:
    masks = Masks()
    masks.learn([value])
    assert value not in masks.text(f"{around}{value}{around}{value}").replace(MASK, "\n")


@given(
    st.lists(st.text(max_size=12), max_size=5),
    st.text(max_size=20),
    st.integers(0, 30),
    st.integers(0, 30),
)
def test_looking_up_beginnings_first_masks_the_same(
    values: list[str], around: str, first: int, last: int
) -> None:
    quick, thorough = Masks(), Masks()
    quick.learn([*values, SECRET])
    thorough.learn([*values, SECRET])
    texts = thorough._texts
    every = {form for forms in texts._forms.values() for form in forms} | texts._short
    longest_first = sorted(every, key=lambda form: (-len(form), form))
    texts._possible = lambda text: longest_first  # type: ignore[method-assign]
    for form in (*values, SECRET, SECRET.encode().hex()):
        for text in (around + form + around, around + form[first:], form[:last] + "…"):
            assert quick.text(text) == thorough.text(text)


def test_a_name_that_was_made_of_a_value_is_masked(masks: Masks) -> None:
    assert masks.name("paid_by_" + re.sub("[^A-Za-z0-9_]", "_", SECRET)) == "paid_by__secret_"
    assert masks.name("orders_total") == "orders_total"


def test_a_line_of_a_value_is_masked_where_lines_come_one_by_one() -> None:
    masks, key = Masks(), "-----BEGIN KEY-----\nMIIEvQIBADANBgkqhkiG9w0\ntrue\n"
    masks.learn([key])
    assert masks.text(key) == MASK
    assert masks.text("MIIEvQIBADANBgkqhkiG9w0") == MASK
    assert masks.text("this is true") == "this is true"
