"""Release: one numbered, immutable meeting of a build and a configuration."""

from collections.abc import Mapping
from typing import Annotated, Literal

from pydantic import Field

from steersman.api.app import Build, Config, ReleaseCommand
from steersman.api.meta import Conditions, Object
from steersman.api.model import Model, Number, Positive
from steersman.api.names import AppName, Name, ProcessName, User
from steersman.api.process import ProcessTemplate
from steersman.api.source import Source

ReleaseState = Literal["pending", "deployed", "rejected", "superseded", "cancelled"]
Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Commit = Annotated[str, Field(pattern=r"^([0-9a-f]{40}|[0-9a-f]{64})$")]


class ReleaseTemplate(Model):
    """What of an App a release fixes. Counts are not here: scaling makes no release."""

    config: Config = Config()
    release: ReleaseCommand | None = None
    processes: Mapping[ProcessName, ProcessTemplate]
    user: User | None = None


class ReleaseSpec(Model):
    """What was released: `builds` by platform, `digest` over everything that makes it differ.

    `content` names what the source resolved to, so that another platform's build is of the same.
    `statsd` are the UDP ports on 127.0.0.1 that tell its processes' metrics apart; they make no
    release differ, and one from before there were any goes without.
    """

    app: AppName
    number: Positive
    source: Source
    build: Build = Build()
    content: str
    commit: Commit | None = None
    ref: str | None = None
    builds: Mapping[str, Digest]
    digest: Digest
    template: ReleaseTemplate
    secret_versions: Mapping[Name, str] = Field(default_factory=dict)
    statsd: Mapping[ProcessName, Positive] = Field(default_factory=dict)


class Answers(Model):
    """Answers of one side of a switch: `errors` are those of 500 and above, `cut` those whose
    client went before their end; `p99` is a latency in seconds, of none it is left out."""

    requests: Number = 0
    errors: Number = 0
    cut: Number = 0
    p99: Annotated[float, Field(ge=0)] | None = None


class HostCutOver(Model):
    """How requests fared around the switch of a host to a release; `unsure` are those under way
    as it switched, of which nobody knows which release answered them."""

    host: Name
    old: Answers = Answers()
    new: Answers = Answers()
    unsure: Answers = Answers()


class CutOver(Model):
    """How requests fared around the switches to a release: over all hosts, and on each."""

    old: Answers = Answers()
    new: Answers = Answers()
    unsure: Answers = Answers()
    hosts: tuple[HostCutOver, ...] = ()
    unmeasured: tuple[Name, ...] = ()


class ReleaseStatus(Model):
    """How it went: `logs` are the app's last lines when it was rejected, `output` those of the
    release command."""

    observed_generation: Number = 0
    conditions: Conditions = ()
    state: ReleaseState = "pending"
    message: str = ""
    logs: tuple[str, ...] = ()
    output: tuple[str, ...] = ()
    cut_over: CutOver | None = None


class Release(Object):
    """A release: `kind: Release`, written by the controller only."""

    kind: Literal["Release"] = "Release"
    spec: ReleaseSpec
    status: ReleaseStatus = ReleaseStatus()
