"""What serve.yaml says of a webhook."""

from typing import Annotated

from pydantic import Field, model_validator

from steersman.api.model import Model
from steersman.api.names import AppName, Name
from steersman.api.quantities import Size
from steersman.api.refusal import Refused
from steersman.server.hooks.verify import Provider

MOST_BODY = 64 << 10
# GitHub sends no more than this.
_MOST = 25 * 10**6


class Hook(Model):
    """Who calls at /hooks/NAME, with which secrets, and what is looked at then.

    `secret` names a Secret of one key or, while one is replaced by another, of two.
    """

    provider: Provider
    secret: Name
    app: AppName | None = None
    repository: Name | None = None
    max_body: Annotated[Size, Field(le=_MOST)] = MOST_BODY

    @model_validator(mode="after")
    def _leads_somewhere(self) -> "Hook":
        if (self.app is None) == (self.repository is None):
            found = "neither of them" if self.app is None else "app and repository"
            raise Refused(found, "one of app and repository")
        return self

    @property
    def key(self) -> str:
        """What is looked at, as the queue has it."""
        return f"App/{self.app}" if self.app is not None else f"Repository/{self.repository}"
