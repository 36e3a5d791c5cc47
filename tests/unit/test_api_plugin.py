"""What a Plugin selects, and what its config may say in place of texts."""

from typing import Any

import pytest
from pydantic import ValidationError

from steersman.api.plugin import Plugin, Select, refs_in, with_values
from steersman.api.signals import LogRecord, Origin, Sample, Signal
from steersman.testing.signals import signal

LABELS = {"shop": {"team": "checkout"}, "blog": {"team": "press"}}


def plugin(**spec: Any) -> Plugin:
    spec = {"type": "jsonl", **spec}
    return Plugin.model_validate({"metadata": {"name": "p"}, "spec": spec}, by_alias=True)


@pytest.mark.parametrize(
    ("select", "shipped", "is_let"),
    [
        ({}, signal("logs", 1), True),
        ({}, LogRecord(time=0, origin=Origin(host="h1"), text="of a host"), True),
        ({"apps": ["shop"]}, signal("logs", 1), True),
        ({"apps": ["blog"]}, signal("logs", 1), False),
        ({"apps": ["shop"]}, LogRecord(time=0, origin=Origin(host="h1"), text="x"), False),
        ({"apps": []}, signal("logs", 1), False),
        ({"selector": {"team": "checkout"}}, signal("errors", 1), True),
        ({"selector": {"team": "press"}}, signal("errors", 1), False),
        ({"selector": {"team": "press"}}, Sample(time=0, name="x", value=1), False),
        ({"selector": {"team": "press"}}, Sample(time=0, name="x", value=1, labels={"app": "blog"}),
         True),
        ({"matchExpressions": [{"key": "team", "operator": "NotIn", "values": ["press"]}]},
         signal("events", 1), True),
        ({"matchExpressions": [{"key": "team", "operator": "DoesNotExist"}]},
         signal("events", 1), False),
        ({"level": "error"}, signal("logs", 1), False),
        ({"level": "warning"}, signal("logs", 1), True),
        ({"level": "error"}, signal("errors", 1), True),
        ({"level": "warning"}, signal("events", 1), False),
        ({"level": "critical"}, signal("metrics", 1), True),
        ({"reasons": ["Deployed"]}, signal("events", 1), True),
        ({"reasons": ["HostLost"]}, signal("events", 1), False),
        ({"reasons": []}, signal("events", 1), False),
        ({"reasons": ["HostLost"]}, signal("errors", 1), True),
    ],
)  # fmt: skip
def test_what_is_selected(select: dict[str, Any], shipped: Signal, is_let: bool) -> None:
    assert Select.model_validate(select, by_alias=True).lets(shipped, LABELS) is is_let


def test_values_of_secrets_take_the_place_of_references() -> None:
    ref = {"secret": "s", "key": "TOKEN"}
    found = plugin(config={"a": ref, "deep": {"list": ["x", ref]}, "like": {"key": "K"}})
    assert [path for path, _ in refs_in(found.spec.config)] == [("a",), ("deep", "list", 1)]
    assert found.secrets == ("s",)
    filled = with_values(found.spec.config, lambda ref: f"{ref.secret}.{ref.key}")
    assert filled == {
        "a": "s.TOKEN", "deep": {"list": ["x", "s.TOKEN"]}, "like": {"key": "K"},
    }  # fmt: skip


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"config": {"a": {"secret": "S!", "key": "TOKEN"}}}, "what names no Secret and key"),
        ({"config": {"a": [{"secret": "s", "key": "T", "more": 1}]}}, "what names no Secret"),
        ({"signals": []}, "some of logs, errors"),
        ({"signals": ["news"]}, "signals"),
        ({"type": "../x"}, "type"),
        ({"buffer": {"signals": 0}}, "signals"),
    ],
)
def test_what_is_refused(spec: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        plugin(**spec)
