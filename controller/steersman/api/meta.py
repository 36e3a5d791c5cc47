"""What every object has: metadata, conditions and references."""

from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from steersman.api.model import Model, Number
from steersman.api.names import AppName, LabelKey, LabelValue, Name

ApiVersion = Literal["steersman/v1"]
API_VERSION: ApiVersion = "steersman/v1"


class ObjectRef(Model):
    """Which object is meant; `uid` tells it from an earlier one of the same name."""

    kind: str
    name: Name
    uid: str | None = None

    @property
    def key(self) -> str:
        """The object as the queue and people write it: `App/shop`."""
        return f"{self.kind}/{self.name}"


class ObjectMeta(Model):
    """A name, labels, and what the controller records about an object."""

    name: Name
    labels: Mapping[LabelKey, LabelValue] = Field(default_factory=dict)
    annotations: Mapping[LabelKey, str] = Field(default_factory=dict)
    uid: str | None = None
    generation: Number = 0
    resource_version: Number = 0
    finalizers: tuple[str, ...] = ()
    owner_references: tuple[ObjectRef, ...] = ()
    creation_timestamp: AwareDatetime | None = None
    deletion_timestamp: AwareDatetime | None = None


class AppMeta(ObjectMeta):
    """An app's name is part of users, units and socket paths, so it is shorter."""

    name: AppName


class Condition(Model):
    """One thing that is true, false or not known of an object."""

    type: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$")]
    status: Literal["True", "False", "Unknown"]
    reason: Annotated[str, Field(pattern=r"^([A-Z][A-Za-z0-9]*)?$")] = ""
    message: str = ""
    last_transition_time: AwareDatetime | None = None
    observed_generation: Number = 0


Conditions = tuple[Condition, ...]

READY = "Ready"
RECONCILING = "Reconciling"
STALLED = "Stalled"


def find_condition(conditions: Sequence[Condition], type_: str) -> Condition | None:
    """Return the condition of this type, if there is one."""
    return next((each for each in conditions if each.type == type_), None)


def is_true(conditions: Sequence[Condition], type_: str) -> bool:
    """Return whether the condition of this type says True."""
    found = find_condition(conditions, type_)
    return found is not None and found.status == "True"


def set_condition(conditions: Sequence[Condition], new: Condition) -> Conditions:
    """Return `conditions` with `new` in place; its time moves only when its status changed."""
    seen = find_condition(conditions, new.type)
    if seen is None:
        return (*conditions, new)
    if seen.status == new.status:
        new = new.model_copy(update={"last_transition_time": seen.last_transition_time})
    return tuple(new if each.type == new.type else each for each in conditions)


class Object(Model):
    """The base of every kind."""

    api_version: ApiVersion = API_VERSION
    kind: str
    metadata: ObjectMeta

    @property
    def name(self) -> str:
        return self.metadata.name

    @property
    def key(self) -> str:
        """The object as the queue and people write it: `App/shop`."""
        return f"{self.kind}/{self.metadata.name}"

    @property
    def ref(self) -> ObjectRef:
        return ObjectRef(kind=self.kind, name=self.metadata.name, uid=self.metadata.uid)
