"""What the daemon is told in `serve.yaml`: a section for each of its doors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from steersman.api.model import Model
from steersman.api.names import Name
from steersman.api.quantities import Timeout
from steersman.api.repository import check_interval
from steersman.control.polling import INTERVAL
from steersman.manifests.settings import read_settings
from steersman.server.git.config import Git
from steersman.server.hooks import Hook
from steersman.server.listen import ApiConfig

FILE = "serve.yaml"


class Poll(Model):
    """How often the refs of apps are asked for; repositories say that for themselves."""

    interval: Annotated[Timeout, AfterValidator(check_interval)] = INTERVAL


class ServeConfig(Model):
    """Each section says what its door is; one that is left out stays shut."""

    api: ApiConfig = ApiConfig()
    git: Git | None = None
    hooks: Mapping[Name, Hook] = Field(default_factory=dict)
    poll: Poll = Poll()


def read_config(path: Path) -> ServeConfig:
    """Return what a file says; one that is not there says nothing.

    Raises ManifestErrors with everything that is wrong, each with its line and column.
    """
    return read_settings(path, ServeConfig)
