"""What leaves an inventory is pruned, and only that."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.api.event import Event
from steersman.api.meta import Object
from steersman.api.objects import AnyObject, parse_object
from steersman.planning.inventory import (
    INVENTORY,
    PRUNE,
    Key,
    inventory_of,
    key_of,
    marked,
    plan_prune,
)

SPECS: dict[str, dict[str, Any]] = {
    "App": {"source": {"package": "shop==1"}},
    "Host": {"address": "192.0.2.1"},
    "Job": {"app": "shop", "command": "true"},
    "Secret": {},
}
OTHER = Key("App", "other")


def made(
    kind: str, name: str, *, of: str | None = "ours", prune: str | None = None, **parts: Any
) -> AnyObject:
    said = {INVENTORY: of, PRUNE: prune}
    annotations = {key: value for key, value in said.items() if value is not None}
    return parse_object(
        {
            "apiVersion": "steersman/v1",
            "kind": kind,
            "metadata": {"name": name, "annotations": annotations},
            "spec": {**SPECS[kind], **parts.get("spec", {})},
            "status": parts.get("status", {}),
        }
    )


def removed(*stored: Object, wanted: set[Key] | None = None) -> list[str]:
    pruning = plan_prune("ours", wanted if wanted is not None else {OTHER}, stored)
    return list(map(str, pruning.remove))


def kept(*stored: Object, wanted: set[Key] | None = None) -> dict[str, str]:
    pruning = plan_prune("ours", wanted if wanted is not None else {OTHER}, stored)
    return {str(key): why for key, why in pruning.protected.items()}


def test_what_the_set_has_no_more_goes_and_what_it_has_stays() -> None:
    assert removed(made("App", "shop"), made("App", "other")) == ["app/shop"]


def test_what_belongs_to_nobody_or_to_others_stays() -> None:
    assert removed(made("App", "shop", of=None), made("App", "blog", of="theirs")) == []


def test_the_set_that_says_an_object_last_has_it() -> None:
    moved = marked(made("App", "shop", of="theirs"), "ours")
    assert inventory_of(moved) == "ours"
    assert plan_prune("theirs", {OTHER}, [moved]).remove == ()
    assert removed(moved) == ["app/shop"]


def test_users_go_before_what_they_use() -> None:
    app = made("App", "shop", spec={"config": {"secrets": ["key"]}}, status={"hosts": ["h1"]})
    rest = [made("Host", "h1"), made("Secret", "key"), made("Job", "backup"), app]
    assert removed(*rest) == ["job/backup", "app/shop", "secret/key", "host/h1"]


def test_hosts_go_before_those_they_are_reached_over() -> None:
    far = made("Host", "h3", spec={"jump": "h2"})
    hosts = [made("Host", "h1"), made("Host", "h2", spec={"jump": "h1"}), far]
    assert removed(*hosts) == ["host/h3", "host/h2", "host/h1"]
    loop = [made("Host", "h1", spec={"jump": "h2"}), made("Host", "h2", spec={"jump": "h1"})]
    assert removed(*loop) == ["host/h1", "host/h2"]


@pytest.mark.parametrize("said", ["false", "no", "off", ""])
def test_the_annotation_protects(said: str) -> None:
    assert removed(made("App", "shop", prune=said)) == []
    assert PRUNE in kept(made("App", "shop", prune=said))["app/shop"]
    assert removed(made("App", "shop", prune="true")) == ["app/shop"]


def test_what_stays_keeps_all_that_it_needs() -> None:
    app = made(
        "App",
        "shop",
        prune="false",
        spec={"config": {"secrets": ["key"]}},
        status={"hosts": ["h1"]},
    )
    behind = made("Host", "h1", spec={"jump": "h2"})
    stored = [app, behind, made("Host", "h2"), made("Host", "h3"), made("Secret", "key")]
    assert removed(*stored) == ["host/h3"]
    assert kept(*stored) | {"app/shop": ""} == {
        "app/shop": "",
        "host/h1": "app/shop runs there",
        "host/h2": "host/h1 is reached over it",
        "secret/key": "app/shop uses it",
    }


def test_strangers_keep_what_they_need_too() -> None:
    app = made("App", "blog", of=None, spec={"config": {"secrets": ["key"]}})
    assert kept(app, made("Secret", "key")) == {"secret/key": "app/blog uses it"}
    job = made("Job", "backup", of="theirs", status={"hosts": ["h1"]})
    assert kept(job, made("App", "shop"), made("Host", "h1")) == {
        "app/shop": "job/backup belongs to it",
        "host/h1": "job/backup runs there",
    }


def test_what_could_not_be_deleted_keeps_what_it_needs() -> None:
    app = made("App", "shop", spec={"config": {"secrets": ["key"]}})
    assert removed(app, made("Secret", "key"), wanted={OTHER, key_of(app)}) == []


def test_an_empty_set_removes_nothing() -> None:
    assert removed(made("App", "shop"), wanted=set()) == []
    assert "is empty" in kept(made("App", "shop"), wanted=set())["app/shop"]


def test_what_goes_already_is_not_pruned_again() -> None:
    going = made("App", "shop")
    moment = {"deletion_timestamp": "2026-11-25T12:00:00Z"}
    going = going.model_copy(update={"metadata": going.metadata.model_copy(update=moment)})
    assert (removed(going), kept(going)) == ([], {})


NAMES = st.sampled_from(["a", "b", "c"])


@st.composite
def worlds(draw: st.DrawFn) -> tuple[list[AnyObject], set[Key]]:
    stored = {}
    for _ in range(draw(st.integers(0, 10))):
        kind, name = draw(st.sampled_from(list(SPECS))), draw(NAMES)
        some = st.lists(NAMES, max_size=2, unique=True)
        spec: dict[str, Any] = {}
        status: dict[str, Any] = {} if kind in ("Secret", "Host") else {"hosts": draw(some)}
        if kind == "App":
            spec["config"] = {"secrets": draw(some)}
        elif kind == "Job":
            spec["app"] = draw(NAMES)
        elif kind == "Host" and draw(st.booleans()):
            spec["jump"] = draw(NAMES)
        owner = draw(st.sampled_from(["ours", "theirs", None]))
        prune = draw(st.sampled_from([None, "false", "true"]))
        stored[kind, name] = made(kind, name, of=owner, prune=prune, spec=spec, status=status)
    keys = [key_of(obj) for obj in stored.values()]
    wanted = set(draw(st.lists(st.sampled_from(keys)))) if keys else set()
    return list(stored.values()), wanted


@given(worlds())
def test_nothing_that_stays_ever_loses_what_it_needs(
    world: tuple[list[AnyObject], set[Key]],
) -> None:
    stored, wanted = world
    pruning = plan_prune("ours", wanted, stored)
    going = set(pruning.remove)
    ours = {key_of(o) for o in stored if inventory_of(o) == "ours"}
    assert going | set(pruning.protected) == ours - wanted
    assert not going & set(pruning.protected)
    for obj in stored:
        if key_of(obj) in going:
            assert obj.metadata.annotations.get(PRUNE) != "false"
            continue
        assert not isinstance(obj, Event)
        assert Key("Host", getattr(obj.spec, "jump", None) or "") not in going
        assert not going & {Key("Host", n) for n in getattr(obj.status, "hosts", ())}
        if obj.kind == "App":
            assert not going & {Key("Secret", n) for n in obj.spec.config.secrets}
        if obj.kind == "Job":
            assert Key("App", obj.spec.app) not in going
    # Asking again once all that is gone changes nothing.
    rest = [obj for obj in stored if key_of(obj) not in going]
    assert plan_prune("ours", wanted, rest) == type(pruning)((), pruning.protected)
