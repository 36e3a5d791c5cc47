"""Plans that are kept in a file: what was seen, what is to be done, and whether that still holds.

A plan names each host's steps for people, and binds them by keyed digests: one of what was seen of
the app there, one of the steps with all that they write. The digests are keyed with the store's
secret, because what a host holds includes files made of secret values.
"""

from __future__ import annotations

import hashlib
import hmac
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError

from steersman.api.errors import SteersmanError
from steersman.api.model import Model
from steersman.planning.seen import FileSeen, HostSeen
from steersman.planning.steps import MakeBuild, Step, Upload

FORMAT: Literal[1] = 1
MAX_BYTES = 64 * 1024 * 1024

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]


class PlanUnreadable(SteersmanError):
    """A file that is no plan, or not one of this steersman's."""

    def __init__(self, name: str, why: str) -> None:
        super().__init__(f"plan {name}: {why}; make a new one with `steer diff --save`")


class PlannedHost(Model):
    """One app on one host: the digests that bind, and the steps in words."""

    seen: Digest
    steps: Digest
    lines: tuple[str, ...] = ()


class PlannedSource(Model):
    """What an app's source was resolved to."""

    kind: Literal["git", "path", "package"]
    commit: str
    content: str
    subject: str | None = None


class PlannedRelease(Model):
    """The release that is to be rolled out: the newest there is, or the next."""

    number: int
    digest: Digest
    source: PlannedSource


class PlannedApp(Model):
    """One app: its release, its hosts, and what its jobs need there, in words."""

    release: PlannedRelease | None = None
    hosts: Mapping[str, PlannedHost] = Field(default_factory=dict)
    jobs: Mapping[str, tuple[str, ...]] = Field(default_factory=dict)


class Plan(Model):
    """Everything that is to be done.

    `objects` are the manifests, without a secret value: where those come from, or their keyed
    digests. `bases` are the folders that relative paths in them count from, `secrets` the versions
    of the values, `known` the digests of objects as they were remembered ("" of one that was not).
    """

    format: Literal[1] = FORMAT
    made_by: str
    made_at: str
    store: str
    objects: tuple[Mapping[str, Any], ...] = ()
    bases: Mapping[str, str] = Field(default_factory=dict)
    secrets: Mapping[str, str] = Field(default_factory=dict)
    known: Mapping[str, str] = Field(default_factory=dict)
    apps: Mapping[str, PlannedApp] = Field(default_factory=dict)


def write_plan(plan: Plan) -> str:
    """Return a plan as the text of its file."""
    data = plan.model_dump(mode="json", by_alias=True, exclude_none=True)
    return json.dumps({"kind": "Plan", **data}, indent=1, ensure_ascii=False) + "\n"


def read_plan(text: str, name: str) -> Plan:
    """Return the plan that a file called `name` holds; raises PlanUnreadable."""
    try:
        data = json.loads(text)
    except (ValueError, RecursionError):
        raise PlanUnreadable(name, "it is no JSON, or not all of it is there") from None
    if not isinstance(data, dict) or data.pop("kind", None) != "Plan":
        raise PlanUnreadable(name, "it is no plan of steersman's")
    found = data.get("format")
    if found != FORMAT:
        age = "a newer" if isinstance(found, int) and found > FORMAT else "an older"
        raise PlanUnreadable(name, f"it is of {age} steersman (format {found}, here {FORMAT})")
    try:
        return Plan.model_validate(data, by_alias=True, by_name=False)
    except ValidationError as error:
        first = error.errors(include_input=False, include_context=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise PlanUnreadable(name, f"it was changed or cut off at {where}") from None


def seen_digest(key: bytes, app: str, user: str, seen: HostSeen) -> str:
    """Return the digest of what a host was seen to hold of `app`.

    Other apps and finished runs of jobs are left out: they change by themselves, and nothing that
    a plan comes to but for ports and server names, which the digest of its steps answers for.
    """
    found = seen.app(app)
    looked_at = {
        "builds": found.builds,
        "releases": dict(found.releases),
        "current": found.current,
        "dirs": found.dirs,
        "envs": {name: _file(file) for name, file in found.envs.items()},
        "links": {n: target for n, target in found.links.items() if not _is_of_a_run(n)},
        "jobs": {name: _file(file) for name, file in found.job_files.items()},
        "user": seen.users.get(user),
        "files": {p: _file(f) for p, f in seen.files.items() if _is_of(app, p)},
        "units": {name: seen.is_running(name) for name in seen.units_of(app)},
    }
    return _keyed(key, looked_at)


def _is_of(app: str, path: str) -> bool:
    """Whether a managed file is an app's: `steersman-<app>.…`, or a job's `steersman-<app>_…`."""
    name = path.rpartition("/")[2]
    return name.startswith((f"steersman-{app}.", f"steersman-{app}_"))


def _is_of_a_run(link: str) -> bool:
    return link.endswith((".job", ".run"))


def _file(seen: FileSeen | str | None) -> object:
    return asdict(seen) if isinstance(seen, FileSeen) else seen


def steps_digest(key: bytes, steps: Sequence[Step]) -> str:
    """Return the digest of steps with everything that they write, builds by their own digest."""
    return _keyed(key, list(steps))


def lines_of(steps: Sequence[Step]) -> tuple[str, ...]:
    """Return steps as `steer diff` prints them."""
    return tuple(f"{step.text} ({step.why})" for step in steps)


def _keyed(key: bytes, value: Any) -> str:
    text = json.dumps(value, sort_keys=True, default=_plain)
    return hmac.new(key, text.encode(), hashlib.sha256).hexdigest()


def _plain(value: Any) -> Any:
    if not isinstance(value, Step):
        return sorted(value)
    # How a build travels: each machine packs it anew, and its digest says what is in it.
    left_out = {"blobs", "manifest"} if isinstance(value, Upload | MakeBuild) else set()
    return [value.op, {name: arg for name, arg in value.args.items() if name not in left_out}]
