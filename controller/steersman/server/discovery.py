"""What there is: groups, versions and resources, as Kubernetes' clients look for them."""

from __future__ import annotations

from collections.abc import Iterable
from importlib import metadata
from typing import Any

from steersman.server.resources import GROUP, VERSION, Resource

_READ = ["get", "list", "watch"]
_WRITE = ["create", "update", "patch", "delete"]


def version() -> dict[str, str]:
    """Return which steersman this is; nothing else is said to those who are not known."""
    return {"steersman": metadata.version("steersman"), "apiVersion": f"{GROUP}/{VERSION}"}


def group_list() -> dict[str, Any]:
    this = {"groupVersion": f"{GROUP}/{VERSION}", "version": VERSION}
    group = {"name": GROUP, "versions": [this], "preferredVersion": this}
    return {"kind": "APIGroupList", "apiVersion": "v1", "groups": [group]}


def resource_list(resources: Iterable[Resource]) -> dict[str, Any]:
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{GROUP}/{VERSION}",
        "resources": [
            {
                "name": each.plural,
                "singularName": each.kind.lower(),
                "kind": each.kind,
                "namespaced": False,
                "verbs": [*_READ, *_WRITE] if each.is_written else _READ,
            }
            for each in resources
        ],
    }
