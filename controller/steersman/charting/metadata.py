"""Chart.yaml: what a chart is called, and which version of it this is."""

import re
from collections.abc import Mapping
from typing import Annotated

from pydantic import AfterValidator, Field

from steersman.api.meta import API_VERSION, ApiVersion
from steersman.api.model import Model
from steersman.api.names import LabelKey, Name
from steersman.api.refusal import Refused, quoted
from steersman.api.text import Plain

# https://semver.org/spec/v2.0.0.html
_VERSION = re.compile(
    r"(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})\.(0|[1-9]\d{0,8})"
    r"(-[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?(\+[0-9A-Za-z-]+(\.[0-9A-Za-z-]+)*)?"
)


def check_version(version: str) -> str:
    """Return `version` when it is one of Semantic Versioning's."""
    if len(version) > 64 or not _VERSION.fullmatch(version):
        raise Refused(quoted(version), "a version as in semver.org, such as 0.1.0 or 1.2.3-rc.1")
    return version


class Maintainer(Model):
    """Who looks after a chart."""

    name: Plain
    email: Plain | None = None
    url: Plain | None = None


class Metadata(Model):
    """What Chart.yaml says; `app_version` is the version of what it deploys, if that has one."""

    api_version: ApiVersion = API_VERSION
    name: Name
    version: Annotated[str, AfterValidator(check_version), Field(examples=["0.1.0"])]
    app_version: Plain | None = None
    description: Plain | None = None
    keywords: tuple[Plain, ...] = ()
    home: Plain | None = None
    sources: tuple[Plain, ...] = ()
    maintainers: tuple[Maintainer, ...] = ()
    annotations: Mapping[LabelKey, str] = Field(default_factory=dict)
    deprecated: Annotated[bool, Field(strict=True)] = False
