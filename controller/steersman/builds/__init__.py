"""From a source to a content-addressed Build: resolve, lock, collect wheels, run steps, seal."""

from steersman.builds.blobs import BlobStore
from steersman.builds.builder import Builder
from steersman.builds.cells import Policy
from steersman.builds.model import (
    Blob,
    Build,
    BuildSpec,
    FileEntry,
    GitSource,
    Manifest,
    PackageSource,
    PathSource,
    Resolved,
    Source,
    Symlink,
    Wheel,
)
from steersman.builds.platforms import Platform

__all__ = [
    "Blob",
    "BlobStore",
    "Build",
    "BuildSpec",
    "Builder",
    "FileEntry",
    "GitSource",
    "Manifest",
    "PackageSource",
    "PathSource",
    "Platform",
    "Policy",
    "Resolved",
    "Source",
    "Symlink",
    "Wheel",
]
