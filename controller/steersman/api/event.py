"""Event: what happened to an object, for people to read."""

from typing import Annotated, Literal

from pydantic import AwareDatetime, Field

from steersman.api.meta import Object, ObjectRef
from steersman.api.model import Model, Positive
from steersman.api.names import Name

EventType = Literal["Normal", "Warning"]


class EventSpec(Model):
    """One happening; `count` says how often it came again, `time` when it last did."""

    involved: ObjectRef
    type: EventType = "Normal"
    reason: Annotated[str, Field(pattern=r"^[A-Z][A-Za-z0-9]*$")]
    message: str
    time: AwareDatetime
    count: Positive = 1
    host: Name | None = None


class Event(Object):
    """An event: `kind: Event`, written by the controller only."""

    kind: Literal["Event"] = "Event"
    spec: EventSpec
