"""YAML manifests -> objects, or every problem in them with its file, line and column."""

from steersman.manifests.document import Sourced
from steersman.manifests.loading import Loaded, load
from steersman.manifests.problem import ManifestErrors, Mark, Problem
from steersman.manifests.schema import json_schema
from steersman.manifests.secrets import SecretUnresolved, resolve

__all__ = [
    "Loaded",
    "ManifestErrors",
    "Mark",
    "Problem",
    "SecretUnresolved",
    "Sourced",
    "json_schema",
    "load",
    "resolve",
]
