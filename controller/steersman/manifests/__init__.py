"""YAML manifests -> objects, or every problem in them with its file, line and column."""

from steersman.manifests.document import Sourced, Text
from steersman.manifests.loading import Loaded, Sound, load, load_commit, load_sound, load_texts
from steersman.manifests.problem import ManifestErrors, Mark, Problem
from steersman.manifests.schema import json_schema

__all__ = [
    "Loaded",
    "ManifestErrors",
    "Mark",
    "Problem",
    "Sound",
    "Sourced",
    "Text",
    "json_schema",
    "load",
    "load_commit",
    "load_sound",
    "load_texts",
]
