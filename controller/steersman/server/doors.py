"""Every door of the API: its path, the rule that guards it, and what serves it."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from starlette.responses import Response
from starlette.websockets import WebSocket

from steersman.api.errors import SteersmanError
from steersman.server import (
    access,
    deletes,
    errors,
    hosts,
    looking,
    measured,
    objects,
    plain,
    plugins,
    programs,
    reconciling,
    signalling,
    verbs,
    watch,
)
from steersman.server.ask import Ask
from steersman.server.policy import VERBS, Verb
from steersman.server.resources import ROOT, Resource

Serve = Callable[[Ask], Awaitable[Response]]
Converse = Callable[[Ask, WebSocket], Awaitable[None]]
Rule = Verb | Literal["by body", "anybody known"]


class NoRule(SteersmanError):
    """A door that nobody guards: a daemon with one does not start."""

    def __init__(self, door: str) -> None:
        super().__init__(
            f"the door {door} has no rule in server/doors.py; this is a bug: report it"
        )


@dataclass(frozen=True, slots=True)
class Door:
    """One method of one path. `rule` names its entry in RULES; `kind` is what it is about."""

    method: str
    path: str
    rule: str
    kind: str
    serve: Serve | None = None
    converse: Converse | None = None


RULES: Mapping[str, Rule] = {
    "get": "get",
    "list": "list",
    "watch": "watch",
    # Whether these are allowed depends on the object that is sent, too.
    "create": "by body",
    "replace": "by body",
    "patch": "by body",
    "apply": "by body",
    "diff": "by body",
    "changes": "by body",
    "delete": "delete",
    "drift": "diff",
    "rollout": "rollout",
    "reconcile": "reconcile",
    "adopt": "adopt",
    "git create": "create",
    "scale": "scale",
    "logs": "logs",
    "exec": "exec",
    "run": "run",
    "refresh": "list",
    "cordon": "cordon",
    "check": "check",
    "keys": "trust",
    "trust": "trust",
    # These say nothing of what the subject may not get: they look at the app that is asked for.
    "running": "list",
    "errors": "list",
    "measured": "list",
    "marks": "list",
    "signals": "list",
    "tokens.list": "list",
    "tokens.create": "create",
    "tokens.revoke": "delete",
    "self": "anybody known",
    # A public key: whoever has it can seal for the controller, and open nothing.
    "recipient": "anybody known",
}


def rule_of(door: Door) -> Rule:
    """Return the rule of a door; raises NoRule."""
    rule = RULES.get(door.rule)
    if rule is None or (rule not in VERBS and rule not in ("by body", "anybody known")):
        raise NoRule(f"{door.method} {door.path}")
    return rule


def doors(resources: Iterable[Resource]) -> list[Door]:
    """Return every door; those of named verbs come before those of objects."""
    made = [*_verbs(), *_looks(), *_access()]
    for each in resources:
        made += _objects(each)
    return made


def _objects(resource: Resource) -> list[Door]:
    kind, all_, one = (
        resource.kind,
        f"{ROOT}/{resource.plural}",
        f"{ROOT}/{resource.plural}/{{name}}",
    )
    read = [
        Door("GET", all_, "list", kind, list_or_watch),
        Door("GET", one, "get", kind, objects.get),
        Door("GET", f"{one}/status", "get", kind, objects.status),
    ]
    if resource.is_plain:
        return [
            *read,
            Door("PUT", one, "create", kind, plain.replace),
            Door("PATCH", one, "create", kind, plain.apply),
            Door("PUT", f"{one}/status", "create", kind, plain.put_status),
            Door("DELETE", one, "delete", kind, plain.delete),
        ]
    if not resource.is_written:
        return read
    return [
        *read,
        Door("POST", all_, "create", kind, objects.create),
        Door("PUT", one, "replace", kind, objects.replace),
        Door("PATCH", one, "patch", kind, objects.patch),
        Door("DELETE", one, "delete", kind, deletes.delete),
    ]


async def list_or_watch(ask: Ask) -> Response:
    return await (watch.watch(ask) if ask.flag("watch") else objects.list_(ask))


def _verbs() -> list[Door]:
    app, host = f"{ROOT}/apps/{{name}}", f"{ROOT}/hosts/{{name}}"
    rollout = [verb for verb in verbs.STEERING if verb != "scale"]
    return [
        Door("POST", f"{ROOT}/apply", "apply", "App", verbs.apply),
        Door("POST", f"{ROOT}/diff", "diff", "App", verbs.diff),
        Door("POST", f"{ROOT}/plans", "diff", "App", verbs.plan),
        Door("POST", f"{ROOT}/planned", "apply", "App", verbs.carry_out),
        Door("POST", f"{ROOT}/edits", "apply", "App", verbs.edit),
        Door("POST", f"{ROOT}/jobplans", "diff", "Job", verbs.job_plans),
        Door("POST", f"{ROOT}/changes", "changes", "App", verbs.changes),
        Door("POST", f"{app}/diff", "drift", "App", verbs.drift),
        Door("POST", f"{app}/scale", "scale", "App", verbs.steering("scale")),
        Door("POST", f"{app}/reconcile", "reconcile", "App", reconciling.app),
        Door(
            *("POST", f"{ROOT}/repositories/{{name}}/reconcile", "reconcile", "Repository"),
            reconciling.repository,
        ),
        Door(
            *("POST", f"{ROOT}/gitrepositories/{{name}}", "git create", "GitRepository"),
            reconciling.git_repository,
        ),
        Door("POST", f"{ROOT}/adoptions", "adopt", "Host", reconciling.adopt),
        *(
            Door("POST", f"{app}/rollout/{verb}", "rollout", "App", verbs.steering(verb))
            for verb in rollout
        ),
        Door("POST", f"{host}/cordon", "cordon", "Host", hosts.cordon),
        Door("POST", f"{host}/uncordon", "cordon", "Host", hosts.uncordon),
        Door("POST", f"{host}/drain", "cordon", "Host", hosts.drain),
        Door("POST", f"{ROOT}/hostchecks", "check", "Host", hosts.check),
        Door("POST", f"{ROOT}/hostkeys", "keys", "Host", hosts.keys),
        Door("POST", f"{ROOT}/hosttrust", "trust", "Host", hosts.trust),
        Door("POST", f"{ROOT}/jobs/{{name}}/run", "run", "Job", looking.run),
        Door("POST", f"{ROOT}/plugins/{{name}}/probe", "run", "Plugin", plugins.probe),
        Door("POST", f"{ROOT}/jobrefresh", "refresh", "Job", looking.refresh),
    ]


def _looks() -> list[Door]:
    app, job = f"{ROOT}/apps/{{name}}", f"{ROOT}/jobs/{{name}}"
    return [
        Door("GET", f"{ROOT}/objects", "list", "Object", list_or_watch),
        Door("GET", f"{app}/busy", "get", "App", looking.busy),
        Door("GET", f"{app}/logs", "logs", "App", looking.logs),
        Door("GET", f"{job}/logs", "logs", "Job", looking.logs),
        Door("GET", f"{ROOT}/plugintypes", "list", "Plugin", plugins.types),
        Door("GET", f"{ROOT}/happened", "list", "Event", looking.happened),
        Door("GET", f"{ROOT}/instances", "running", "Instance", looking.instances),
        Door("GET", f"{ROOT}/generations", "running", "Generation", looking.generations),
        Door("GET", f"{ROOT}/errors", "errors", "Error", errors.errors),
        Door("GET", f"{ROOT}/samples", "measured", "Sample", measured.samples),
        Door("GET", f"{ROOT}/marks", "marks", "Release", measured.marks),
        Door("GET", f"{ROOT}/signals", "signals", "Sample", signalling.signals),
        Door("WEBSOCKET", f"{app}/exec", "exec", "App", converse=programs.serve),
    ]


def _access() -> list[Door]:
    tokens = f"{ROOT}/tokens"
    return [
        Door("GET", tokens, "tokens.list", "Token", access.list_tokens),
        Door("POST", tokens, "tokens.create", "Token", access.create_token),
        Door("DELETE", f"{tokens}/{{name}}", "tokens.revoke", "Token", access.revoke_token),
        Door("GET", f"{ROOT}/whoami", "self", "Token", access.whoami),
        Door("GET", f"{ROOT}/can-i", "self", "Token", access.can_i),
        Door("GET", f"{ROOT}/recipients", "recipient", "Secret", reconciling.recipient),
    ]
