"""Caddy as the proxy: one Caddyfile for each app, made from typed values.

Directives: https://caddyserver.com/docs/caddyfile. Upstream keep-alive is off and nothing is
loaded on a deploy: controller/decisions/0002-the-switch-is-a-rename.md.
"""

from __future__ import annotations

from collections.abc import Iterator

from steersman.api.routes import Route
from steersman.drivers.model import Layout
from steersman.drivers.nginx import safe
from steersman.planning.target import File


def caddy_settings(root: str, scope: str) -> dict[str, str]:
    """Return what the hand must know of Caddy: its Caddyfile and where its admin API listens.

    The Caddyfile must hold `import <sites>/steersman-*.caddy`, `<sites>` being the layout's.
    """
    logs = {"caddy_logs": _logs(root, is_system=scope == "system")}
    if scope == "system":  # as Debian's package has it
        return {"caddyfile": "/etc/caddy/Caddyfile", "caddy_admin": "localhost:2019", **logs}
    return {"caddyfile": f"{root}/Caddyfile", "caddy_admin": f"{root}/caddy-admin.sock", **logs}


def _logs(root: str, *, is_system: bool) -> str:
    return "/var/log/caddy" if is_system else f"{root}/log"


class CaddyDriver:
    """Renders for one host. Without `tls`, sites are http only, on Caddy's `http_port`."""

    def __init__(self, layout: Layout, *, tls: bool) -> None:
        self._layout = layout
        self._scheme = "" if tls else "http://"
        self._logs = _logs(layout.root, is_system=tls)

    def site_path(self, app: str) -> str:
        return f"{self._layout.sites}/steersman-{app}.caddy"

    def access_log(self, app: str) -> str:
        return f"{self._logs}/steersman-{app}.access.log"

    def render(self, app: str, routes: tuple[Route, ...]) -> File:
        lines = ["# Written by steersman; changes are replaced."]
        for host in sorted({route.host for route in routes}):
            lines += ["", f"{self._scheme}{safe(host)} {{", "\troute {"]
            mine = [route for route in routes if route.host == host]
            # The first that fits is taken: the longest prefix goes first.
            for route in sorted(mine, key=lambda route: (-len(route.path), route.path)):
                lines += [f"\t\thandle {safe(route.path)}* {{"]
                lines += [f"\t\t\t{line}" for line in self._body(app, route)]
                lines += ["\t\t}"]
            lines += ["\t}", *self._logged(app), "}"]
        return File(self.site_path(app), ("\n".join(lines) + "\n").encode())

    def _logged(self, app: str) -> Iterator[str]:
        yield f"\tlog {{\n\t\toutput file {safe(self.access_log(app))} {{"
        yield "\t\t\troll_size 16MiB\n\t\t\troll_keep 1\n\t\t}"
        # Headers may hold what is nobody's business, and are most of a line.
        yield "\t\tformat filter {\n\t\t\twrap json\n\t\t\tfields {"
        yield "\t\t\t\trequest>headers delete\n\t\t\t\tresp_headers delete"
        yield "\t\t\t}\n\t\t}\n\t}"

    def _body(self, app: str, route: Route) -> Iterator[str]:
        if route.process is None:
            yield from self._static(app, route)
        else:
            yield from self._proxied(app, route)

    def _static(self, app: str, route: Route) -> Iterator[str]:
        folder = f"{self._layout.run}/{app}/serving/src/{route.directory}"
        prefix = route.path.rstrip("/")
        if prefix:
            yield f"uri strip_prefix {safe(prefix)}"
        yield f"root * {safe(folder.rstrip('/'))}"
        yield "file_server"

    def _proxied(self, app: str, route: Route) -> Iterator[str]:
        yield "request_body {"
        yield f"\tmax_size {route.client_max_body_size}"
        yield "}"
        # A symlink, renamed by each deploy. Caddy itself adds X-Forwarded-For, -Proto and -Host.
        yield f"reverse_proxy unix/{safe(f'{self._layout.run}/{app}/{route.process}.sock')} {{"
        yield "\theader_up X-Real-IP {remote_host}"
        # A change of routes must not cut WebSockets.
        yield "\tstream_close_delay 1h"
        yield "\ttransport http {"
        # A POST could race the server's close of an idle connection.
        yield "\t\tkeepalive off"
        yield "\t\tdial_timeout 5s"
        yield f"\t\tread_timeout {_milliseconds(route.read_timeout)}"
        yield f"\t\twrite_timeout {_milliseconds(route.read_timeout)}"
        yield "\t}"
        yield "}"


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"
