"""Installation: one numbered revision of what a chart installed, written by the controller."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import AwareDatetime, Field

from steersman.api.meta import Conditions, Object
from steersman.api.model import Model, Number, Positive
from steersman.api.names import AppName

InstallationState = Literal["pending", "deployed", "superseded", "failed", "uninstalled"]


class ChartVersion(Model):
    """Which chart it was."""

    name: str
    version: str
    app_version: str | None = None


class RenderedManifest(Model):
    """What a template rendered to: kept, because a rollback applies it again as it was."""

    template: str
    text: str


class InstallationSpec(Model):
    """What was asked for. `values` are those that people gave, without the chart's own; none of
    a Secret's is ever here. `base_dir` is the folder that relative paths count from."""

    installation: AppName
    revision: Positive
    chart: ChartVersion
    values: Mapping[str, Any] = Field(default_factory=dict)
    manifests: tuple[RenderedManifest, ...] = ()
    digest: Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
    objects: tuple[str, ...] = ()
    base_dir: str
    notes: str = ""
    description: str = ""


class InstallationStatus(Model):
    """How it went. While it is pending, `holder` gives signs of life by moving `updated`."""

    observed_generation: Number = 0
    conditions: Conditions = ()
    state: InstallationState = "pending"
    message: str = ""
    updated: AwareDatetime | None = None
    holder: str = ""


class Installation(Object):
    """A revision of an installation: `kind: Installation`, written by the controller only."""

    kind: Literal["Installation"] = "Installation"
    spec: InstallationSpec
    status: InstallationStatus = InstallationStatus()
