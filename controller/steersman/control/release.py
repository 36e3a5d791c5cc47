"""What makes a release: its digest, its number, and which one an app should run."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping, Sequence
from typing import Any

import orjson

from steersman.api.app import App
from steersman.api.errors import SteersmanError
from steersman.api.meta import is_true
from steersman.api.process import Process
from steersman.api.release import Release, ReleaseSpec
from steersman.drivers.servers import way_of
from steersman.planning.placement import Shares

RESTARTED_AT = "steersman/restarted-at"
PINNED = "steersman/pinned-release"
"""The number of the release to go back to; `@` and a time after it when it was restarted since."""
SCALE = "steersman/scale"
PAUSED = "steersman/paused"
PROMOTED = "steersman/promoted"
"""`<release>:<count>`: how many pauses of that release are over."""
PAUSING = "steersman/pausing"
"""`<release>:<number> <time>`: the timed pause that a rollout is in, and when it ends."""
ABORTED = "steersman/aborted"
"""`<release> <who>`: the release that was given up."""
OVERTAKEN = "steersman/overtaken-by"
"""The digest of what somebody waits to roll out instead."""

ADOPTED = "steersman/adopted"
"""Of an App: nobody has said yet that it is as it should be. Of a Release: the digest that it has
now, as the one that its folders are named by came from a lost key; "" until that is known."""

REFUSED = "steersman/refused"
"""On a Release: which key pushed it, when the push was refused."""

COMMAND_DONE = "ReleaseCommandDone"
"""True when a release's command succeeded, False once it began; its message names the host."""

KEPT_STATES = frozenset({"deployed", "superseded"})


def secret_version(key: bytes, values: Mapping[str, str]) -> str:
    """Return a keyed digest of a Secret's values: equal for equal values, and never guessable."""
    return hmac.new(
        key, orjson.dumps(dict(values), option=orjson.OPT_SORT_KEYS), hashlib.sha256
    ).hexdigest()[:32]


def release_digest(
    app: App, content: str, secrets: Mapping[str, str], shares: Shares | None = None
) -> str:
    """Return the digest of everything that makes a release differ; counts and routes do not.

    `content` is what the source resolved to, `secrets` the version of each Secret in use.
    """
    spec = app.spec
    processes = {name: process.template() for name, process in spec.processes.items()}
    parts: dict[str, Any] = {
        "content": content,
        "build": spec.build.model_dump(mode="json"),
        "config": spec.config.model_dump(mode="json"),
        "release": None if spec.release is None else spec.release.model_dump(mode="json"),
        "processes": {name: each.model_dump(mode="json") for name, each in processes.items()},
        "user": spec.user,
        "secrets": dict(secrets),
        "restarted": app.metadata.annotations.get(RESTARTED_AT, ""),
        "relayed": _relayed(app, shares or {}),
    }
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def relayed(app: App) -> frozenset[str]:
    """Return the processes whose instances cannot become fewer or more within a release.

    A relay to a $PORT drops what it carries when it stops: scaling those is a hand-over.
    """
    processes = app.spec.processes.items()
    return frozenset(name for name, process in processes if way_of(name, process) == "port")


def _relayed(app: App, shares: Shares) -> dict[str, Any]:
    """Return the counts of relayed processes, and of replicas how many each host runs."""
    if not app.spec.processes:
        return {"procfile": app.metadata.annotations.get(SCALE, "")}
    counts = {name: app.spec.processes[name].count for name in relayed(app)}
    return {
        name: {host: share[name] for host, share in shares.items() if name in share}
        if count is None
        else count
        for name, count in counts.items()
    }


def is_asked(release: Release, digest: str) -> bool:
    """Return whether a release is what an app with this digest asks for."""
    return digest in (release.spec.digest, release.metadata.annotations.get(ADOPTED))


def next_number(releases: Sequence[Release], seen: Sequence[int]) -> int:
    """Return a number above every release remembered and every one that a host has."""
    return max([0, *(release.spec.number for release in releases), *seen]) + 1


def digest_again(old: ReleaseSpec, app: App, secrets: Mapping[str, str]) -> str:
    """Return the digest of an older release as `app` wants it: another if it starts anew, or if
    the versions of its `secrets` are others now."""
    _, _, at = app.metadata.annotations.get(PINNED, "").partition("@")
    changed = {name: one for name, one in secrets.items() if old.secret_versions.get(name) != one}
    if not at and not changed:
        return old.digest
    parts = [old.digest, at, changed]
    return hashlib.sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def find_release(app: str, number: int, releases: Sequence[Release]) -> Release:
    """Return the release of this number, or raise with the way to those there are."""
    for release in releases:
        if release.spec.number == number:
            return release
    raise SteersmanError(
        f"app {app} has no release {number}; `steer rollout history app/{app}` lists them"
    )


def last_good(releases: Sequence[Release], before: int) -> Release | None:
    """Return the newest release below `before` that has served."""
    good = [r for r in releases if r.spec.number < before and r.status.state in KEPT_STATES]
    return max(good, key=lambda release: release.spec.number, default=None)


def counted(releases: Sequence[Release]) -> list[Release]:
    """Return the releases that an app came to by what it asks for.

    One of a refused push is none: the app asks for what it asked for before, and has that.
    """
    return [release for release in releases if REFUSED not in release.metadata.annotations]


def contract_after(releases: Sequence[Release], to: Release) -> Release | None:
    """Return the newest release whose command made `to` stop working, if there is one.

    A release of a higher number served since, and one of the same content is the same code.
    """
    ran = [
        r
        for r in releases
        if r.spec.number > to.spec.number
        and r.spec.content != to.spec.content
        and r.spec.template.release is not None
        and r.spec.template.release.contract
        and is_true(r.status.conditions, COMMAND_DONE)
    ]
    return max(ran, key=lambda release: release.spec.number, default=None)


class ContractRan(SteersmanError):
    """Going back would bring code whose data is gone."""

    def __init__(self, contract: Release, to: int) -> None:
        app, number = contract.spec.app, contract.spec.number
        super().__init__(
            f"app {app}: release {to} does not work any more: the command of release {number} ran,"
            " whose manifest says `release: {contract: true}`; go forward with a new release, or"
            f" use `steer rollout undo app/{app} --to-revision={to} --force` if you know better"
        )


class NotConfirmed(SteersmanError):
    """An app is known from its hosts alone, and its manifest may say more."""

    def __init__(self, app: str) -> None:
        super().__init__(
            f"app {app} was adopted from its hosts, and nobody has said since how it should be:"
            f" apply its manifest first; if that is lost too, `steer get app/{app} -o yaml` shows"
            " what hosts know of it"
        )


def refuse_unconfirmed(app: App) -> None:
    """Raise NotConfirmed where only hosts say so far what an app is."""
    if ADOPTED in app.metadata.annotations:
        raise NotConfirmed(app.name)


def kept(releases: Sequence[Release], history: int, running: int) -> tuple[Release, ...]:
    """Return the releases whose files stay: the running one, and the last `history` good others.

    The running one does not count: whether it has proved itself yet must change nothing, or the
    apply after a deploy would find something to clean up.
    """
    others = [r for r in releases if r.status.state in KEPT_STATES and r.spec.number != running]
    others.sort(key=lambda release: release.spec.number)
    return tuple(r for r in releases if r in others[-history:] or r.spec.number == running)


def counts_of(
    app: App, processes: Mapping[str, Any], share: Mapping[str, int] | None = None
) -> dict[str, int]:
    """Return how many instances of each process the app wants on a host with this `share`.

    Without a host, replicas are counted as they are in all. The Procfile has no counts: `steer
    scale` keeps those in an annotation.
    """
    scaled = dict(
        pair.split("=", 1)
        for pair in app.metadata.annotations.get(SCALE, "").split()
        if "=" in pair
    )

    def wanted(name: str) -> int:
        process = app.spec.processes.get(name)
        if process is None:
            return int(scaled.get(name, "1"))
        if process.replicas is None:
            return process.count or 0
        return process.replicas if share is None else share.get(name, 0)

    return {name: wanted(name) for name in processes}


def from_procfile(procfile: Mapping[str, str]) -> dict[str, Process]:
    """Return a Procfile's processes: `web` gets the port, `release` is no process."""
    return {
        name: Process.model_validate({"command": command, "port": "http"})
        if name == "web"
        else Process.model_validate({"command": command})
        for name, command in procfile.items()
        if name != "release"
    }
