"""A process of an app: its command, how it is reached, judged, stopped and limited."""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, model_validator

from steersman.api.model import Count, Model, Positive
from steersman.api.names import EnvName
from steersman.api.quantities import Size, Timeout
from steersman.api.refusal import Refused, quoted, refuse_all
from steersman.api.text import Command, EnvValue

Handover = Literal["socket", "path", "port", "stop"]
Signal = Literal["TERM", "INT", "QUIT", "HUP", "USR1", "USR2", "KILL"]

_HTTP_PATH = re.compile(r"/[A-Za-z0-9._~!$&'()*+,;=:@%/?-]*")


def check_http_path(path: str) -> str:
    """Return `path` when it can be the target of a GET as it stands."""
    if not _HTTP_PATH.fullmatch(path) or len(path) > 1024:
        raise Refused(quoted(path), "a path such as /healthz, percent-encoded, with no spaces")
    return path


class Health(Model):
    """What a good answer is: a 2xx or 3xx to GET `http`, or any HTTP answer at all when `tcp`."""

    http: Annotated[str, AfterValidator(check_http_path), Field(examples=["/healthz"])] | None = (
        None
    )
    tcp: Literal[True] | None = None
    interval: Timeout = 10.0
    timeout: Timeout = 1.0
    failures: Positive = 3

    @model_validator(mode="after")
    def _has_one(self) -> "Health":
        if (self.http is None) == (self.tcp is None):
            found = "neither" if self.http is None else "both"
            raise Refused(found, "one of `http: /path` and `tcp: true`")
        return self


class Stop(Model):
    """How the main process is asked to finish, and how long it may take."""

    signal: Signal = "TERM"
    timeout: Timeout = 30.0


class Limits(Model):
    """What one instance may use: bytes, cores, tasks and open files."""

    memory: Size | None = None
    cpu: Annotated[float, Field(strict=True, gt=0, le=4096)] | None = None
    tasks: Positive | None = None
    files: Positive | None = None


class ProcessTemplate(Model):
    """A process without its count: what a release fixes."""

    command: Command
    port: Literal["http"] | None = None
    handover: Handover | None = None
    health: Health | None = None
    stop: Stop = Stop()
    limits: Limits = Limits()
    env: Mapping[EnvName, EnvValue] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _agrees_with_its_port(self) -> "ProcessTemplate":
        if self.port is not None:
            return self
        refusals = []
        if self.health is not None:
            refusals.append(
                Refused("a health check but no port", "health with `port: http`", at=("health",))
            )
        if self.handover not in {None, "stop"}:
            refusals.append(
                Refused(
                    f"{quoted(self.handover)} but no port",
                    "stop, or another way with `port: http`",
                    at=("handover",),
                )
            )
        refuse_all(refusals)
        return self


def _unless_spread(process: dict[str, Any]) -> int | None:
    return 1 if process.get("replicas") is None else None


class Process(ProcessTemplate):
    """A process and how many instances of it run: `count` on each placed host (1 by default), or
    `replicas` in all, spread over them."""

    # Before `count`, whose default depends on it.
    replicas: Count | None = None
    count: Annotated[Count | None, Field(default_factory=_unless_spread)]

    @model_validator(mode="after")
    def _is_counted_once(self) -> "Process":
        if (self.replicas is None) == (self.count is None):
            found = "neither" if self.count is None else "both count and replicas"
            raise Refused(found, "count (on each host) or replicas (in all)")
        return self

    def template(self) -> ProcessTemplate:
        """Return the process without its numbers: scaling makes no new release."""
        fields = {name: getattr(self, name) for name in ProcessTemplate.model_fields}
        return ProcessTemplate.model_construct(**fields)

    def scaled(self, number: int) -> "Process":
        """Return the process with another number of instances, counted as it is now."""
        by = "count" if self.replicas is None else "replicas"
        return self.model_copy(update={by: number})
