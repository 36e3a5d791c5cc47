"""Where an app may run: hosts by name and by label, in Kubernetes' words."""

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Literal

from pydantic import Field, model_validator

from steersman.api.labels import Term
from steersman.api.model import Model
from steersman.api.names import LabelKey, LabelValue, Name
from steersman.api.refusal import Refused, quoted

Operator = Literal["In", "NotIn", "Exists", "DoesNotExist"]


class Requirement(Model):
    """One thing asked of a host's labels.

    As in Kubernetes, a host without the label satisfies NotIn and DoesNotExist.
    """

    key: LabelKey
    operator: Operator
    values: tuple[LabelValue, ...] = ()

    @model_validator(mode="after")
    def _has_its_values(self) -> "Requirement":
        if self.operator in ("In", "NotIn") and not self.values:
            raise Refused(f"{self.operator} and no values", "at least one value", at=("values",))
        if self.operator in ("Exists", "DoesNotExist") and self.values:
            allowed = f"no values, or In or NotIn in place of {self.operator}"
            raise Refused(quoted(", ".join(self.values)), allowed, at=("values",))
        return self

    @property
    def term(self) -> Term:
        """The requirement as selectors judge it."""
        values = frozenset(self.values) if self.values else None
        return Term(self.key, values, self.operator in ("NotIn", "DoesNotExist"))

    @property
    def text(self) -> str:
        """The requirement as `steer get -l` takes it."""
        return self.term.text


class Placement(Model):
    """Which hosts may run the app: those named (or all), of which those whose labels fit.

    Labels fit when each of `selector` is there and each of `matchExpressions` is met.
    """

    selector: Mapping[LabelKey, LabelValue] = Field(default_factory=dict)
    match_expressions: Annotated[
        tuple[Requirement, ...],
        Field(examples=[[{"key": "role", "operator": "In", "values": ["web", "api"]}]]),
    ] = ()
    hosts: tuple[Name, ...] | None = None

    # Every host is asked for every app: thousands of times for each Placement.
    @cached_property
    def terms(self) -> tuple[Term, ...]:
        """Everything that is asked of a host's labels."""
        equal = (Term(key, frozenset({value})) for key, value in self.selector.items())
        return (*equal, *(each.term for each in self.match_expressions))

    @property
    def text(self) -> str:
        """What is asked of labels, as `steer get hosts -l` takes it; empty asks nothing."""
        return ",".join(term.text for term in self.terms)

    def matches(self, host: str, labels: Mapping[str, str]) -> bool:
        """Return whether a host of this name and these labels is meant."""
        if self.hosts is not None and host not in self.hosts:
            return False
        for term in self.terms:  # noqa: SIM110 - a generator costs more than what it asks
            if not term.matches(labels):
                return False
        return True
