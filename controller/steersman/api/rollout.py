"""How a new release takes the place of the old one: the strategy and what it may cost."""

import re
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from steersman.api.model import Count, Flag, Model, Positive
from steersman.api.quantities import IntOrPercent, Timeout
from steersman.api.refusal import Refused, quoted, refuse_all

Strategy = Literal["RollingUpdate", "Canary", "BlueGreen", "Recreate"]

_SHARE = re.compile(r"\d{1,3}(\.\d{1,3})?%")


def check_share(share: str) -> str:
    """Return `share` when it is a percentage such as 1% or 0.5%."""
    if not _SHARE.fullmatch(share) or float(share[:-1]) > 100:
        raise Refused(quoted(share), "a percentage from 0% to 100%, such as 1% or 0.5%")
    return share


class Pause(Model):
    """A wait: for `duration`, or until `steer rollout promote` when there is none."""

    duration: Timeout | None = None


class CanaryStep(Model):
    """Either how many hosts run the new release from here on, or a pause."""

    hosts: IntOrPercent | None = None
    pause: Pause | None = None

    @model_validator(mode="after")
    def _has_one(self) -> "CanaryStep":
        if (self.hosts is None) == (self.pause is None):
            found = "neither" if self.hosts is None else "both"
            raise Refused(found, "one of `hosts: 10%` and `pause: {duration: 5m}`")
        return self


class Analysis(Model):
    """How much worse than the old generation a canary may do.

    `max_error_rate` is the share of 5xx answers above the old generation's, judged from
    `min_requests` answers on; `max_restarts` is of any of its instances.
    """

    max_error_rate: Annotated[str, AfterValidator(check_share), Field(examples=["1%"])] = "1%"
    max_restarts: Count = 0
    min_requests: Positive = 20

    @property
    def error_share(self) -> float:
        """The error rate as a number from 0 to 1."""
        return float(self.max_error_rate[:-1]) / 100


class Canary(Model):
    """Steps to take before every host follows, each judged before the next."""

    steps: tuple[CanaryStep, ...] = ()
    analysis: Analysis = Analysis()


class BlueGreen(Model):
    """Every host boots the new release before any switches; `auto_promotion` needs no person."""

    auto_promotion: Flag = True


class Rollout(Model):
    """How a new release takes the place of the old one, counted in hosts.

    `max_surge` and `max_unavailable` round as Kubernetes does; `max_failures` hosts may fail
    before the release counts as bad.
    """

    strategy: Strategy = "RollingUpdate"
    max_unavailable: IntOrPercent = "25%"
    max_surge: IntOrPercent = "25%"
    min_ready_seconds: Count = 0
    progress_deadline_seconds: Positive = 600
    max_failures: Count = 0
    auto_rollback: Flag = True
    paused: Flag = False
    canary: Canary | None = None
    blue_green: BlueGreen | None = None

    @model_validator(mode="after")
    def _agrees(self) -> "Rollout":
        if {self.max_unavailable, self.max_surge} <= {0, "0%"}:
            raise Refused("maxUnavailable and maxSurge both 0", "at least one of them above 0")
        refusals = []
        given = {"Canary": ("canary", self.canary), "BlueGreen": ("blueGreen", self.blue_green)}
        for strategy, (key, settings) in given.items():
            if settings is not None and self.strategy != strategy:
                refusals.append(
                    Refused(
                        f"settings of {strategy} with strategy {self.strategy}",
                        f"`strategy: {strategy}`, or none of them",
                        at=(key,),
                    )
                )
        if self.strategy == "Canary" and (self.canary is None or not self.canary.steps):
            refusals.append(
                Refused("Canary without steps", "canary.steps, such as [{hosts: 1}, {pause: {}}]")
            )
        refuse_all(refusals)
        return self
