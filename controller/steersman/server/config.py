"""What the daemon is told in `serve.yaml`: a section for each of its doors."""

from collections.abc import Mapping
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, Field

from steersman.api.model import Model
from steersman.api.names import Name
from steersman.api.quantities import Timeout
from steersman.api.repository import check_interval
from steersman.builds import Policy
from steersman.control.polling import INTERVAL
from steersman.manifests.settings import read_settings
from steersman.server.git.config import Git
from steersman.server.hooks import Hook
from steersman.server.keep import Keep
from steersman.server.listen import ApiConfig

FILE = "serve.yaml"


class Poll(Model):
    """How often the refs of apps are asked for; repositories say that for themselves."""

    interval: Annotated[Timeout, AfterValidator(check_interval)] = INTERVAL


class Builds(Model):
    """Whether programs of strangers, which builds run, may run where nothing keeps them in."""

    walls: Policy | None = None


class ServeConfig(Model):
    """Each section says what its door is; one that is left out stays shut.

    `builds` and `keep` are none: how builds run, and how much of what is seen stays.
    """

    api: ApiConfig = ApiConfig()
    git: Git | None = None
    hooks: Mapping[Name, Hook] = Field(default_factory=dict)
    poll: Poll = Poll()
    builds: Builds = Builds()
    keep: Keep = Keep()

    def walls(self, *, is_root: bool) -> Policy:
        """Return what holds: left out, nobody else's program gets at root or at what pushes share.

        An ordinary user whom nobody pushes to builds his own apps with what he has.
        """
        if self.builds.walls is not None:
            return self.builds.walls
        return "required" if is_root or self.git is not None else "preferred"


def read_config(path: Path) -> ServeConfig:
    """Return what a file says; one that is not there says nothing.

    Raises ManifestErrors with everything that is wrong, each with its line and column.
    """
    return read_settings(path, ServeConfig)
