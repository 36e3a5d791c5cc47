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


def test_a_mapping_wants_every_label() -> None:
    assert Selector.of({"role": "web"}).matches(WEB)
    assert not Selector.of({"role": "web", "tier": "back"}).matches(WEB)
