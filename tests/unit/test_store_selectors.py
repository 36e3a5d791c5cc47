"""Label selectors read and match as kubectl's do."""

import pytest

from steersman.store.errors import BadSelector
from steersman.store.selectors import Selector

WEB = {"role": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        ("", True),
        ("role=web", True),
        ("role==web", True),
        ("role = web , tier=front", True),
        ("role=db", False),
        ("role!=db", True),
        ("absent!=db", True),
        ("role in (api, web)", True),
        ("role in (api,web),tier notin (back)", True),
        ("role notin (api,web)", False),
        ("role", True),
        ("absent", False),
        ("!absent", True),
        ("!role", False),
        ("in=web", False),
        ("role=", False),
    ],
)
def test_matching(text: str, matches: bool) -> None:
    assert Selector.parse(text).matches(WEB) is matches


@pytest.mark.parametrize(
    "text",
    ["role=web,", "=web", "role in web", "role in (a;b)", "a b", "role=a=b", "-role", "a,,b"],
)
def test_what_cannot_be_read_is_refused_with_examples(text: str) -> None:
    with pytest.raises(BadSelector, match="write terms like role=web"):
        Selector.parse(text)


@pytest.mark.parametrize(
    "text",
    [
        "role=web",
        "role!=web",
        "role in (api,web)",
        "role notin (api,web)",
        "role",
        "!role",
        "role=",
    ],
)
def test_a_term_is_written_as_it_is_read(text: str) -> None:
    assert [term.text for term in Selector.parse(text).terms] == [text]
