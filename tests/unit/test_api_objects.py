"""Objects: frozen, strict, the same after a round trip, with the defaults the manual promises."""

import copy
import json
import pickle
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Literal

import pytest
from pydantic import ValidationError
from pydantic_core import PydanticSerializationError

from steersman.api.app import App
from steersman.api.event import Event
from steersman.api.host import Host
from steersman.api.meta import READY, Condition, ObjectMeta, is_true, set_condition
from steersman.api.objects import KINDS, InvalidObject, dump_object, parse_object
from steersman.api.placement import Placement
from steersman.api.process import Process
from steersman.api.release import Release
from steersman.api.rollout import Rollout
from steersman.api.secret import MASK, Secret, SecretExposed, SecretSource, SecretValue

NOW = datetime(2026, 11, 22, tzinfo=UTC)


def app(**spec: Any) -> dict[str, Any]:
    spec.setdefault("source", {"path": "/srv/shop"})
    return {
        "apiVersion": "steersman/v1",
        "kind": "App",
        "metadata": {"name": "shop"},
        "spec": spec,
    }


def web(**more: Any) -> dict[str, Any]:
    return {"command": "gunicorn shop.wsgi", "port": "http", **more}


def refusal(data: Mapping[str, Any]) -> str:
    with pytest.raises(InvalidObject) as caught:
        parse_object(data)
    return str(caught.value)


SECRET = {
    "apiVersion": "steersman/v1",
    "kind": "Secret",
    "metadata": {"name": "shop"},
    "spec": {"data": {"PASSWORD": {"value": "hunter2hunter2"}, "KEY": {"fromEnv": "KEY"}}},
}

RELEASE: dict[str, Any] = {
    "apiVersion": "steersman/v1",
    "kind": "Release",
    "metadata": {"name": "shop-7"},
    "spec": {
        "app": "shop",
        "number": 7,
        "source": {"git": {"url": "https://git.example.com/shop.git"}},
        "content": "a" * 40,
        "commit": "a" * 40,
        "ref": "main",
        "builds": {"cp311-linux_x86_64": "b" * 64},
        "digest": "c" * 64,
        "template": {"processes": {"web": web()}, "config": {"env": {"A": "1"}}},
        "secretVersions": {"shop": "v1"},
    },
    "status": {"state": "rejected", "message": "it crashed", "logs": ["Traceback"]},
}

EVENT: dict[str, Any] = {
    "apiVersion": "steersman/v1",
    "kind": "Event",
    "metadata": {"name": "shop-1"},
    "spec": {
        "involved": {"kind": "App", "name": "shop"},
        "reason": "Switched",
        "message": "web serves release 7",
        "time": "2026-11-22T10:00:00Z",
    },
}

FULL = app(
    source={"git": {"url": "https://git.example.com/shop.git", "path": "backend"}},
    build={"python": "3.11", "steps": ["npm ci", ["sh", "-c", "a && b"]], "index": "company"},
    config={"env": {"A": "1"}, "secrets": ["shop"]},
    release={"command": "python manage.py migrate", "timeout": "10m"},
    processes={
        "web": web(
            count=2,
            handover="path",
            health={"http": "/healthz", "interval": "2s"},
            stop={"signal": "QUIT", "timeout": 45},
            limits={"memory": "512Mi", "cpu": 0.5, "tasks": 100, "files": 1024},
            env={"B": "2"},
        ),
        "worker": {"command": "celery -A shop worker"},
    },
    routes=[
        {"host": "shop.example.com", "process": "web", "clientMaxBodySize": "20M"},
        {"host": "shop.example.com", "path": "/static/", "directory": "static"},
    ],
    placement={"selector": {"role": "web"}, "hosts": ["h1"]},
    rollout={"maxUnavailable": "25%", "maxSurge": 0, "autoRollback": False},
    history=3,
    user="shop",
)

HOST: dict[str, Any] = {
    "apiVersion": "steersman/v1",
    "kind": "Host",
    "metadata": {"name": "h1", "labels": {"role": "web"}},
    "spec": {
        "address": "10.0.0.1",
        "hostKey": "ssh-ed25519 "
        "AAAAC3NzaC1lZDI1NTE5AAAAIJ1o4jhfBoZlBHWKEVFgnFbLgIkVLtcgaFpHyXLVFEiP me@laptop",
        "become": "sudo",
        "runDir": "/tmp/run",
    },
}


@pytest.mark.parametrize("data", [FULL, HOST, RELEASE, EVENT], ids=lambda data: data["kind"])
def test_an_object_survives_json(data: Mapping[str, Any]) -> None:
    before = copy.deepcopy(data)
    first = parse_object(data)
    again = parse_object(json.loads(json.dumps(dump_object(first))))
    assert again == first
    assert type(again) is KINDS[data["kind"]]
    assert data == before
    assert first.model_copy(deep=True) == first


def test_the_defaults_are_those_of_kubernetes() -> None:
    shop = parse_object(app(processes={"web": web(health={"tcp": True})}))
    assert isinstance(shop, App)
    process = shop.spec.processes["web"]
    assert (process.count, process.stop.signal, process.stop.timeout) == (1, "TERM", 30)
    assert process.health is not None
    assert (process.health.interval, process.health.timeout, process.health.failures) == (10, 1, 3)
    rollout = shop.spec.rollout
    assert (rollout.max_unavailable, rollout.max_surge) == ("25%", "25%")
    assert (rollout.strategy, rollout.min_ready_seconds) == ("RollingUpdate", 0)
    assert (rollout.progress_deadline_seconds, rollout.auto_rollback) == (600, True)
    assert shop.spec.history == 10
    assert (shop.user, shop.key, shop.ref.key) == ("app-shop", "App/shop", "App/shop")


def test_values_are_read_into_plain_units() -> None:
    shop = parse_object(FULL)
    assert isinstance(shop, App)
    process = shop.spec.processes["web"]
    assert process.command == ("gunicorn", "shop.wsgi")
    assert process.limits.memory == 512 << 20
    assert shop.spec.release is not None
    assert shop.spec.release.timeout == 600
    assert shop.spec.routes[0].client_max_body_size == 20_000_000
    assert shop.user == "shop"


def test_a_pinned_key_loses_its_comment_and_may_be_one_of_several() -> None:
    host = parse_object(HOST)
    assert isinstance(host, Host)
    key = host.spec.host_key[0]
    assert key.count(" ") == 1
    several = copy.deepcopy(HOST)
    several["spec"]["hostKey"] = [key, key]
    again = parse_object(several)
    assert isinstance(again, Host)
    assert again.spec.host_key == (key, key)


def test_an_object_cannot_be_changed() -> None:
    shop = parse_object(FULL)
    assert isinstance(shop, App)
    with pytest.raises(ValidationError, match="frozen"):
        shop.spec.history = 4  # type: ignore[misc]
    with pytest.raises(ValidationError, match="frozen"):
        shop.metadata.name = "other"  # type: ignore[misc]


def test_scaling_leaves_the_template_as_it_is() -> None:
    one, two = (Process.model_validate(web(count=count)) for count in (1, 2))
    assert one != two
    assert one.template() == two.template()
    assert "count" not in one.template().model_dump()


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        ({"source": {}}, "one of git, path and package"),
        ({"source": {"path": "/a", "package": "a==1"}}, "path and package"),
        ({"user": "root"}, "unprivileged"),
        ({"processes": {"web": web(count=-1)}}, "greater than or equal to 0"),
        ({"processes": {"web": web(count="2")}}, "valid integer"),
        ({"processes": {"web": web(count=True)}}, "valid integer"),
        ({"processes": {"web": web(health={})}}, "neither"),
        ({"processes": {"web": web(health={"http": "/", "tcp": True})}}, "both"),
        ({"processes": {"web": {"command": "a", "health": {"tcp": True}}}}, "no port"),
        ({"processes": {"web": {"command": "a", "handover": "socket"}}}, "no port"),
        ({"processes": {"Web": web()}}, "lower-case"),
        ({"processes": {"web": web(env={"A-B": "x"})}}, "underscores"),
        ({"config": {"env": {"A": "x\ny"}}}, "one line"),
        ({"config": {"env": {"A": 1}}}, "valid string"),
        ({"rollout": {"maxSurge": 0, "maxUnavailable": "0%"}}, "at least one of them above 0"),
        ({"rollout": {"autoRollback": "yes"}}, "valid boolean"),
        ({"rollout": {"strategy": "Rolling"}}, "RollingUpdate"),
        ({"rollout": {"strategy": "Canary"}}, "Canary without steps"),
        ({"rollout": {"strategy": "Canary", "canary": {"steps": [{}]}}}, "neither"),
        ({"rollout": {"canary": {"steps": [{"hosts": 1}]}}}, "settings of Canary"),
        ({"rollout": {"blueGreen": {}}}, "settings of BlueGreen with strategy RollingUpdate"),
        (
            {"rollout": {"strategy": "Canary", "canary": {"analysis": {"maxErrorRate": "1"}}}},
            "a percentage from 0% to 100%",
        ),
        ({"routes": [{"host": "a.b"}]}, "neither"),
        ({"routes": [{"host": "a.b", "process": "web", "directory": "x"}]}, "both"),
        ({"routes": [{"host": "a.b", "directory": "../x"}]}, "stays in its folder"),
        ({"history": 0}, "greater than or equal to 1"),
        ({"unknown": 1}, "Extra"),
    ],
)
def test_a_bad_app_is_refused(spec: dict[str, Any], said: str) -> None:
    assert said in refusal(app(**spec))


def test_a_route_leads_to_a_process_with_a_port() -> None:
    processes = {"web": web(), "worker": {"command": "celery"}}
    routes = [
        {"host": "a.b", "process": "web"},
        {"host": "a.b", "path": "/x", "process": "wbe"},
        {"host": "a.b", "path": "/y", "process": "worker"},
    ]
    with pytest.raises(ValidationError) as caught:
        App.model_validate(app(processes=processes, routes=routes))
    first = caught.value.errors()[0]["ctx"]["error"]
    assert [each.at for each in (first, *first.others)] == [
        ("routes", 1, "process"),
        ("routes", 2, "process"),
    ]
    assert all(each.allowed == "web" for each in (first, *first.others))


def test_without_processes_only_the_procfile_can_judge_a_route() -> None:
    assert parse_object(app(routes=[{"host": "a.b", "process": "web"}]))


def test_a_host_and_path_is_routed_once() -> None:
    route = {"host": "a.b", "directory": "x"}
    assert "again, as in routes[0]" in refusal(app(routes=[route, {**route, "directory": "y"}]))


def test_placement_needs_every_label_and_the_name_if_there_are_names() -> None:
    everywhere, labelled = Placement(), Placement(selector={"role": "web", "zone": "a"})
    named = Placement(selector={"role": "web"}, hosts=("h1",))
    assert everywhere.matches("h9", {})
    assert labelled.matches("h1", {"role": "web", "zone": "a", "more": "x"})
    assert not labelled.matches("h1", {"role": "web"})
    assert named.matches("h1", {"role": "web"})
    assert not named.matches("h2", {"role": "web"})
    assert not named.matches("h1", {})


def test_rollout_may_trade_surge_for_availability() -> None:
    assert Rollout(max_surge=0, max_unavailable=1).max_surge == 0


def test_what_is_not_an_object_is_refused_with_a_way_out() -> None:
    assert "App" in refusal({"kind": "Apq"})
    assert "App" in refusal({"kind": ["App"]})
    assert "App" in refusal({})
    assert "steer schema" in refusal({"kind": "App"})


def test_python_names_are_for_python_only() -> None:
    assert "min_ready_seconds" in refusal(app(rollout={"min_ready_seconds": 1}))


def test_names_are_shorter_for_apps() -> None:
    assert ObjectMeta(name="a" * 63)
    assert "1 to 40" in refusal({**app(), "metadata": {"name": "a" * 41}})


def test_a_condition_keeps_its_time_until_its_status_changes() -> None:
    later = NOW + timedelta(seconds=5)
    ready = Condition(type=READY, status="True", reason="Ok", last_transition_time=NOW)
    conditions = set_condition((), ready)
    assert is_true(conditions, READY)
    assert not is_true(conditions, "Stalled")
    same = set_condition(
        conditions, ready.model_copy(update={"message": "x", "last_transition_time": later})
    )
    assert [(each.message, each.last_transition_time) for each in same] == [("x", NOW)]
    changed = set_condition(same, Condition(type=READY, status="False", last_transition_time=later))
    assert [(each.status, each.last_transition_time) for each in changed] == [("False", later)]


def test_a_secret_value_is_seen_only_when_revealed() -> None:
    secret = parse_object(SECRET)
    assert isinstance(secret, Secret)
    value = secret.spec.data["PASSWORD"].value
    assert value is not None
    assert value.reveal() == "hunter2hunter2"
    for shown in (repr(value), str(value), f"{value}", f"{value:>40}", repr(secret), str(secret)):
        assert "hunter2" not in shown
    assert MASK in repr(secret)
    assert value == SecretValue("hunter2hunter2")
    assert value != SecretValue("hunter3hunter3")
    assert value != "hunter2hunter2"
    for broken in (pickle.dumps, json.dumps, hash, len):
        with pytest.raises((SecretExposed, TypeError)):
            broken(value)  # type: ignore[arg-type]


@pytest.mark.parametrize("mode", ["python", "json"])
def test_a_secret_with_values_does_not_serialise(mode: Literal["python", "json"]) -> None:
    secret = parse_object(SECRET)
    with pytest.raises((SecretExposed, PydanticSerializationError)) as caught:
        secret.model_dump(mode=mode)
    assert "hunter2" not in str(caught.value)


def test_a_masked_secret_is_stored_and_read_back() -> None:
    secret = parse_object(SECRET)
    assert isinstance(secret, Secret)
    masked = secret.masked({"PASSWORD": "hmac:0a1b"})
    assert masked.spec.data["KEY"] == SecretSource(from_env="KEY")
    data = dump_object(masked)
    assert data["spec"]["data"]["PASSWORD"] == {"stored": "hmac:0a1b"}
    assert parse_object(data) == masked


@pytest.mark.parametrize(
    "source",
    [
        {},
        {"value": "hunter2hunter2", "fromEnv": "A"},
        {"value": "hunt"},
        {"value": "hunter2\nhunter2"},
        {"value": 12345678},
        {"value": None},
        {"fromFile": "../hunter2"},
        {"fromFile": "/hunter2"},
        {"fromEnv": "A-B"},
        "hunter2hunter2",
    ],
)
def test_a_bad_secret_is_refused_without_being_told(source: object) -> None:
    data = {**SECRET, "spec": {"data": {"PASSWORD": source}}}
    said = refusal(data)
    assert "PASSWORD" in said
    if not isinstance(source, dict) or "value" in source:
        assert "hunt" not in said
        assert "12345678" not in said


def test_a_release_names_what_it_is_made_of() -> None:
    release = parse_object(RELEASE)
    assert isinstance(release, Release)
    assert release.spec.template.processes["web"].command == ("gunicorn", "shop.wsgi")
    assert release.status.state == "rejected"
    assert "count" in refusal(
        {
            **RELEASE,
            "spec": {**RELEASE["spec"], "template": {"processes": {"web": web(count=2)}}},
        }
    )


def test_an_event_needs_a_time_with_its_zone() -> None:
    event = parse_object(EVENT)
    assert isinstance(event, Event)
    assert event.spec.count == 1
    naive = {**EVENT, "spec": {**EVENT["spec"], "time": "2026-11-22T10:00:00"}}
    assert "spec.time" in refusal(naive)
