"""From a Host's spec to its layout, its hand's settings and its drivers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from steersman.api.host import HostSpec
from steersman.drivers.caddy import CaddyDriver, caddy_settings
from steersman.drivers.model import Facts, Layout, Proxy, Supervisor
from steersman.drivers.nginx import NginxDriver
from steersman.drivers.supervisor import SupervisorDriver, supervisor_settings
from steersman.drivers.systemd import SystemdDriver


def layout_of(spec: HostSpec) -> Layout:
    """Return where things are on a host."""
    if spec.supervisor == "systemd":
        units, tmpfiles = "/etc/systemd/system", "/etc/tmpfiles.d"
    else:
        units, tmpfiles = f"{spec.root}/supervisor.d", ""
    sites = {"nginx": "/etc/nginx/conf.d", "caddy": f"{spec.root}/caddy.d", "none": ""}
    return Layout(spec.root, spec.run_dir, units, sites[spec.proxy], tmpfiles)


def settings_of(spec: HostSpec, holder: str) -> dict[str, Any]:
    """Return what the host's hand is started with; see the hand's `Place`."""
    layout = layout_of(spec)
    return {
        "root": layout.root,
        "run": layout.run,
        "units": layout.units,
        "sites": layout.sites,
        "tmpfiles": layout.tmpfiles,
        "supervisor": spec.supervisor,
        "proxy": spec.proxy,
        "scope": spec.scope,
        "holder": holder,
        "extra": {
            **(supervisor_settings(spec.root, spec.scope) if is_supervisor(spec) else {}),
            **(caddy_settings(spec.root, spec.scope) if spec.proxy == "caddy" else {}),
        },
    }


def is_supervisor(spec: HostSpec) -> bool:
    return spec.supervisor == "supervisor"


def facts_of(hello: Mapping[str, Any]) -> Facts:
    """Return what the drivers need of the hand's `hello`."""
    proxyd = hello.get("socket_proxyd")
    return Facts(
        proxy_group=str(hello.get("proxy_group") or ""),
        systemd=int(hello.get("systemd") or 0),
        socket_proxyd=None if proxyd is None else str(proxyd),
    )


def supervisor_of(spec: HostSpec, facts: Facts) -> Supervisor:
    if is_supervisor(spec):
        return SupervisorDriver(layout_of(spec), facts)
    return SystemdDriver(layout_of(spec), facts)


def proxy_of(spec: HostSpec) -> Proxy | None:
    if spec.proxy == "caddy":
        return CaddyDriver(layout_of(spec), tls=spec.scope == "system")
    return NginxDriver(layout_of(spec)) if spec.proxy == "nginx" else None
