"""The columns of each kind, as `steer get` prints them."""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

from steersman.api.host import CORDON
from steersman.api.repository import SUSPENDED
from steersman.cli.culprit import culprit, where
from steersman.cli.tables import NONE, age

Object = Mapping[str, Any]
Cell = Callable[[Object, datetime], object]
Columns = Mapping[str, Cell]


def rows_of(kind: str, objects: Sequence[Object], wide: bool, now: datetime) -> list[list[str]]:
    """Return the header and one row for each object."""
    columns = {**_COLUMNS[kind], **(_WIDE[kind] if wide else {})}
    rows = [[_text(cell(one, now)) for cell in columns.values()] for one in objects]
    return [list(columns), *rows]


def condition(one: Object, type_: str) -> Object | None:
    """Return the condition of a type when it is True."""
    for each in _status(one).get("conditions", ()):
        if each["type"] == type_ and each["status"] == "True":
            found: Object = each
            return found
    return None


def phase(one: Object) -> str:
    """Return the one word for an object's conditions: a stall hides all else."""
    stalled = condition(one, "Stalled")
    if stalled is not None:
        return stalled.get("reason") or "Stalled"
    if condition(one, "Reconciling") is not None:
        return "Reconciling"
    if condition(one, "Ready") is not None:
        return "Ready"
    return "NotReady" if _status(one).get("conditions") else "Pending"


def _host_phase(one: Object) -> str:
    said = one["metadata"].get("annotations", {}).get(CORDON)
    cordon = said or ("cordoned" if one["spec"].get("cordoned") else "")
    return phase(one) + (f",{cordon.capitalize()}" if cordon else "")


def _suspended(one: Object) -> str:
    said = one["metadata"].get("annotations", {}).get(SUSPENDED, "false")
    return "yes" if one["spec"].get("suspend") or said != "false" else "no"


def _ready(one: Object) -> str:
    processes = _status(one).get("processes", ())
    return f"{sum(p['ready'] for p in processes)}/{sum(p['desired'] for p in processes)}"


def _source(one: Object) -> str:
    source = one["spec"].get("source") or {}
    git = source.get("git")
    if git:
        return f"{git.get('url')}@{git.get('ref', 'HEAD')}"
    return next((str(value) for value in source.values() if value), "")


def _urls(one: Object) -> list[str]:
    return [f"{route['host']}{route.get('path', '/')}" for route in one["spec"].get("routes", ())]


def _involved(one: Object) -> str:
    involved = one["spec"]["involved"]
    return f"{involved['kind'].lower()}/{involved['name']}"


def _message(one: Object) -> str:
    count = one["spec"].get("count", 1)
    return f"{one['spec']['message']}{f' (x{count})' if count > 1 else ''}"


def _status(one: Object) -> Object:
    found: Object = one.get("status") or {}
    return found


def _facts(one: Object) -> list[str]:
    return [f"{key}={value}" for key, value in sorted(_status(one).get("facts", {}).items())]


def _runs(one: Object, *states: str) -> list[Object]:
    runs: list[Object] = list(_status(one).get("runs", ()))
    return [run for run in runs if not states or run["state"] in states]


def _result(one: Object) -> str | None:
    """Return how the newest run ended, or goes on."""
    if not _runs(one):
        return None
    newest = _runs(one)[-1]
    has_reason = newest["state"] in ("failed", "stopped") and newest.get("result")
    return f"{newest['state']} ({newest['result']})" if has_reason else str(newest["state"])


def _until(at: str | None, now: datetime) -> str | None:
    if at is None:
        return None
    there = datetime.fromisoformat(at)
    return f"in {age(now.isoformat(), there)}" if there > now else "now"


def _age(one: Object, now: datetime) -> str:
    return age(one["metadata"].get("creationTimestamp"), now)


def _ago(since: str | None, now: datetime) -> str | None:
    return age(since, now) if since is not None else None


def _text(value: object) -> str:
    if isinstance(value, list | tuple):
        value = ",".join(map(str, value))
    return NONE if value is None or value == "" else str(value)


def _name(one: Object, now: datetime) -> object:
    return one["metadata"]["name"]


_COLUMNS: Mapping[str, Columns] = {
    "App": {
        "NAME": _name,
        "READY": lambda one, now: _ready(one),
        "RELEASE": lambda one, now: _status(one).get("release"),
        "STATUS": lambda one, now: phase(one),
        "HOSTS": lambda one, now: len(_status(one).get("hosts", ())),
        "AGE": _age,
    },
    "Host": {
        "NAME": _name,
        "STATUS": lambda one, now: _host_phase(one),
        "ADDRESS": lambda one, now: one["spec"].get("address"),
        "APPS": lambda one, now: len(_status(one).get("apps", ())),
        "AGE": _age,
    },
    "Secret": {
        "NAME": _name,
        "KEYS": lambda one, now: len(one["spec"].get("data") or {}),
        "AGE": _age,
    },
    "Job": {
        "NAME": _name,
        "APP": lambda one, now: one["spec"].get("app"),
        "SCHEDULE": lambda one, now: one["spec"].get("schedule") or "once",
        "SUSPENDED": lambda one, now: "yes" if one["spec"].get("suspend") else "no",
        "ACTIVE": lambda one, now: len(_runs(one, "running", "retrying")),
        "LAST RUN": lambda one, now: age(_runs(one)[-1]["started"], now) if _runs(one) else None,
        "RESULT": lambda one, now: _result(one),
        "NEXT RUN": lambda one, now: _until(_status(one).get("nextRun"), now),
        "HOST": lambda one, now: _status(one).get("hosts"),
        "AGE": _age,
    },
    "Repository": {
        "NAME": _name,
        "STATUS": lambda one, now: phase(one),
        "REF": lambda one, now: one["spec"].get("ref", "main"),
        "COMMIT": lambda one, now: (_status(one).get("appliedCommit") or "")[:10],
        "SUSPENDED": lambda one, now: _suspended(one),
        "AGE": _age,
    },
    "Plugin": {
        "NAME": _name,
        "TYPE": lambda one, now: one["spec"].get("type"),
        "STATUS": lambda one, now: phase(one),
        "SIGNALS": lambda one, now: _status(one).get("signals") or one["spec"].get("signals"),
        "SHIPPED": lambda one, now: _status(one).get("shipped", 0),
        "DROPPED": lambda one, now: _status(one).get("dropped", 0),
        "AGE": _age,
    },
    "Release": {
        "NAME": _name,
        "APP": lambda one, now: one["spec"].get("app"),
        "STATE": lambda one, now: _status(one).get("state", "pending"),
        "COMMIT": lambda one, now: (one["spec"].get("commit") or "")[:10],
        "AGE": _age,
    },
    "Event": {
        "LAST SEEN": lambda one, now: age(one["spec"]["time"], now),
        "TYPE": lambda one, now: one["spec"]["type"],
        "REASON": lambda one, now: one["spec"]["reason"],
        "OBJECT": lambda one, now: _involved(one),
        "HOST": lambda one, now: one["spec"].get("host"),
        "MESSAGE": lambda one, now: _message(one),
    },
    "Generation": {
        "HOST": lambda one, now: one["spec"]["host"],
        "APP": lambda one, now: one["spec"]["app"],
        "PROCESS": lambda one, now: one["spec"]["process"],
        "RELEASE": lambda one, now: one["spec"]["release"],
        "STATE": lambda one, now: one["spec"]["state"],
        "INSTANCES": lambda one, now: one["spec"]["instances"],
        "CONNECTIONS": lambda one, now: one["spec"].get("connections"),
        "AGE": _age,
    },
    "Error": {
        "LAST SEEN": lambda one, now: age(one["spec"]["last"], now),
        "NAME": _name,
        "APP": lambda one, now: one["spec"].get("app"),
        "COUNT": lambda one, now: one["spec"]["count"],
        "RELEASE": lambda one, now: one["spec"].get("release"),
        "WHERE": lambda one, now: where(one),
        "ERROR": lambda one, now: one["spec"]["title"],
    },
    "Installation": {
        "NAME": _name,
        "INSTALLATION": lambda one, now: one["spec"]["installation"],
        "REVISION": lambda one, now: one["spec"]["revision"],
        "STATE": lambda one, now: _status(one).get("state", "pending"),
        "CHART": lambda one, now: "{name}-{version}".format_map(one["spec"]["chart"]),
        "AGE": _age,
    },
}

_WIDE: Mapping[str, Columns] = {
    "App": {
        "COMMIT": lambda one, now: (_status(one).get("commit") or "")[:10],
        "ROUTES": lambda one, now: _urls(one),
        "SOURCE": lambda one, now: _source(one),
    },
    "Host": {
        "USER": lambda one, now: one["spec"].get("user"),
        "SUPERVISOR": lambda one, now: one["spec"].get("supervisor", "systemd"),
        "PROXY": lambda one, now: one["spec"].get("proxy", "nginx"),
        "FACTS": lambda one, now: _facts(one),
    },
    "Job": {
        "CONCURRENCY": lambda one, now: one["spec"].get("concurrency", "Forbid"),
        "COMMAND": lambda one, now: " ".join(one["spec"].get("command", ())),
    },
    "Repository": {
        "URL": lambda one, now: one["spec"].get("url"),
        "PATH": lambda one, now: one["spec"].get("path"),
        "OBJECTS": lambda one, now: len(_status(one).get("inventory", ())),
    },
    "Plugin": {
        "APPS": lambda one, now: (one["spec"].get("select") or {}).get("apps"),
        "QUEUED": lambda one, now: _status(one).get("queued", 0),
        "LAST SUCCESS": lambda one, now: _ago(_status(one).get("lastSuccess"), now),
        "LAST ERROR": lambda one, now: _status(one).get("lastError"),
    },
    "Secret": {"NAMES": lambda one, now: sorted(one["spec"].get("data") or {})},
    "Release": {
        "REF": lambda one, now: one["spec"].get("ref"),
        "DIGEST": lambda one, now: (one["spec"].get("digest") or "")[:10],
        "MESSAGE": lambda one, now: _status(one).get("message"),
    },
    "Event": {"FIRST SEEN": _age},
    "Generation": {},
    "Error": {
        "SOURCE": lambda one, now: culprit(one).get("code", "").strip(),
        "KIND": lambda one, now: one["spec"]["kind"],
        "PROCESS": lambda one, now: one["spec"].get("process"),
        "HOSTS": lambda one, now: sorted(one["spec"].get("hosts", ())),
        "COMMIT": lambda one, now: one["spec"].get("commit", "")[:10],
        "FIRST SEEN": _age,
    },
    "Installation": {
        "OBJECTS": lambda one, now: one["spec"].get("objects"),
        "DESCRIPTION": lambda one, now: one["spec"].get("description"),
    },
}
