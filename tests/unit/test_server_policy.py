"""Who may do what: the whole matrix, against one written by hand."""

import pytest

from steersman.server.doors import Door, NoRule, doors, rule_of
from steersman.server.policy import (
    VERBS,
    BadScope,
    Scope,
    Subject,
    allows,
    grants,
)
from steersman.server.resources import RESOURCES, app_of

KINDS = ("App", "Job", "Release", "Event", "Generation", "Host", "Repository", "Secret", "Token")
READ = {"get", "list", "watch"}

# What `deploy:shop` may do to what belongs to shop, to another app, and to what has no app.
OWN = {
    "App": READ
    | {"create", "update", "patch", "rollout", "scale", "reconcile", "diff", "logs", "exec"},
    "Job": READ | {"create", "update", "patch", "delete", "diff", "run", "logs"},
    "Release": READ,
    "Event": READ,
    "Generation": READ,
    "Host": READ,
    "Repository": set(),
    "Secret": set(),
    "Token": set(),
}
OTHERS: dict[str, set[str]] = {kind: READ if kind == "Host" else set() for kind in KINDS}
# Lists and watches without an app are filtered, object by object.
NONE = {kind: (READ if kind == "Host" else {"list", "watch"} & OWN[kind]) for kind in KINDS}


@pytest.mark.parametrize("kind", KINDS)
def test_a_deployer_is_bound_to_its_app(kind: str) -> None:
    subject = Subject("token ci", grants(["deploy:shop"]))
    for app, wanted in (("shop", OWN), ("blog", OTHERS), (None, NONE)):
        found = {verb for verb in VERBS if allows(subject, verb, kind, app)}
        assert found == wanted[kind], (kind, app)


@pytest.mark.parametrize("kind", KINDS)
def test_a_reader_changes_nothing_and_an_admin_may_all(kind: str) -> None:
    reader, admin = Subject("r", grants(["read"])), Subject("a", grants(["admin"]))
    for app in ("shop", None):
        found = {verb for verb in VERBS if allows(reader, verb, kind, app)}
        assert found == (set() if kind == "Token" else READ | {"logs"})
        assert all(allows(admin, verb, kind, app) for verb in VERBS)
        assert not any(allows(Subject("nobody"), verb, kind, app) for verb in VERBS)


def test_scopes_add_up() -> None:
    both = Subject("ci", grants(["deploy:shop", "deploy:blog", "deploy:shop"]))
    assert both.scopes == (Scope("deploy", "shop"), Scope("deploy", "blog"))
    assert allows(both, "logs", "App", "blog")
    assert not allows(both, "logs", "App", "desk")


@pytest.mark.parametrize(
    "text", ["", "deploy", "deploy:", "deploy:../x", "deploy:*", "Admin", "admin:x", "read:shop"]
)
def test_scopes_that_nobody_can_have(text: str) -> None:
    with pytest.raises(BadScope):
        Scope.parse(text)


def test_every_door_has_a_rule_and_one_without_stops_the_daemon() -> None:
    for door in doors(RESOURCES.values()):
        rule_of(door)
    with pytest.raises(NoRule, match="GET /apis/new"):
        rule_of(Door("GET", "/apis/new", "new", "App"))


def test_what_belongs_to_an_app() -> None:
    assert app_of("App", {"metadata": {"name": "shop"}}) == "shop"
    assert app_of("Job", {"spec": {"app": "shop"}}) == "shop"
    assert app_of("Event", {"spec": {"involved": {"kind": "App", "name": "shop"}}}) == "shop"
    assert app_of("Event", {"spec": {"involved": {"kind": "Host", "name": "shop"}}}) is None
    assert app_of("Secret", {"metadata": {"name": "shop"}}) is None
    assert app_of("Job", {"spec": {"app": ["shop"]}}) is None
