"""nginx as the proxy: one site file for each app, made from typed values.

Directives: nginx's own reference; why upstream keep-alive is off and nothing reloads on a deploy:
controller/decisions/0002-the-switch-is-a-rename.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from steersman.api.routes import Route
from steersman.drivers.model import Layout
from steersman.drivers.unitfile import CannotRender
from steersman.planning.target import File

LOGS = "/var/log/nginx"
_COMBINED = (
    '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent'
    ' "$http_referer" "$http_user_agent"'
)
_SAFE = re.compile(r"[A-Za-z0-9._~/*:-]+")


class NginxDriver:
    """Renders for one host."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout

    def site_path(self, app: str) -> str:
        return f"{self._layout.sites}/steersman-{app}.conf"

    def access_log(self, app: str) -> str:
        """Return where the app's answers are logged: `combined`, and behind it what is ours."""
        return f"{LOGS}/steersman-{app}.access.log"

    def render(self, app: str, routes: tuple[Route, ...]) -> File:
        lines = ["# Written by steersman; changes are replaced.", *self._upstreams(app, routes)]
        for host in sorted({route.host for route in routes}):
            lines += ["", *self._server(app, host, [r for r in routes if r.host == host])]
        return File(self.site_path(app), ("\n".join(lines) + "\n").encode())

    def _upstreams(self, app: str, routes: tuple[Route, ...]) -> Iterator[str]:
        yield f"map $http_upgrade ${_variable(app, 'connection')} {{"
        yield "    default upgrade;"
        # Hypercorn holds a connection for 5 s after nginx has left it, unless it is told this.
        yield '    "" close;'
        yield "}"
        yield from _log_format(app)
        for process in sorted({route.process for route in routes if route.process is not None}):
            yield f"upstream {_upstream(app, process)} {{"
            # A symlink, renamed by each deploy. No keep-alive: a POST could race an idle close.
            socket = safe(f"{self._layout.run}/{app}/{process}.sock")
            yield f"    server unix:{socket} max_fails=0;"
            yield "}"

    def _server(self, app: str, host: str, routes: list[Route]) -> Iterator[str]:
        yield "server {"
        yield "    listen 80;"
        yield f"    server_name {safe(host)};"
        # One for each app: `steer rollout` compares releases by it. Debian rotates the folder.
        yield f"    access_log {safe(self.access_log(app))} steersman_{safe(app)};"
        # A request that nginx cannot read reaches no location.
        yield "    uninitialized_variable_warn off;"
        yield f"    client_max_body_size {max(r.client_max_body_size for r in routes)};"
        # nginx asks the longest prefix first, whatever the order; sorted for a stable file.
        for route in sorted(routes, key=lambda route: route.path):
            yield f"    location {safe(route.path)} {{"
            body = self._static(app, route) if route.process is None else _proxied(app, route)
            yield from (f"        {line}" for line in (*self._noted(app, route), *body))
            yield "    }"
        yield "}"

    def _noted(self, app: str, route: Route) -> Iterator[str]:
        """Yield what makes the log name the route, and the generation that served as it came."""
        if route.process is not None:
            # Nothing is served from it: it is what $realpath_root follows.
            yield f"root {safe(f'{self._layout.run}/{app}/{route.process}.sock')};"
        yield f"set ${_variable(app, 'route')} {safe(route.path)};"
        yield f"set ${_variable(app, 'first')} ${_variable(app, 'came')};"

    def _static(self, app: str, route: Route) -> Iterator[str]:
        folder = f"{self._layout.run}/{app}/serving/src/{route.directory}"
        ending = "/" if route.path.endswith("/") else ""
        yield f"alias {safe(folder.rstrip('/') + ending)};"
        # A release could hold a link to anything the proxy may read.
        yield f"disable_symlinks if_not_owner from={safe(self._layout.run)}/{app}/serving/src;"


def _proxied(app: str, route: Route) -> Iterator[str]:
    yield f"proxy_pass http://{_upstream(app, route.process or '')};"
    yield "proxy_http_version 1.1;"
    yield "proxy_set_header Host $http_host;"
    yield "proxy_set_header Upgrade $http_upgrade;"
    yield f"proxy_set_header Connection ${_variable(app, 'connection')};"
    yield "proxy_set_header X-Real-IP $remote_addr;"
    # Not appended to what the client sent: servers believe the first address in it.
    yield "proxy_set_header X-Forwarded-For $remote_addr;"
    yield "proxy_set_header X-Forwarded-Proto $scheme;"
    yield "proxy_set_header X-Forwarded-Host $host;"
    yield f"client_max_body_size {route.client_max_body_size};"
    yield "proxy_connect_timeout 5s;"
    yield f"proxy_read_timeout {_milliseconds(route.read_timeout)};"
    yield f"proxy_send_timeout {_milliseconds(route.read_timeout)};"
    yield "proxy_next_upstream off;"
    yield "proxy_redirect off;"


def safe(value: str) -> str:
    """Return `value` if nginx reads it as one plain word."""
    if not _SAFE.fullmatch(value):
        raise CannotRender(f"{value!r} cannot stand in a site; use letters, digits and . _ ~ / -")
    return value


def _milliseconds(seconds: float) -> str:
    return f"{round(seconds * 1000)}ms"


def _upstream(app: str, process: str) -> str:
    return safe(f"steersman_{app}.{process}")


def _variable(app: str, what: str) -> str:
    return f"steersman_{app.replace('-', '_')}_{what}"


def _log_format(app: str) -> Iterator[str]:
    """Yield the format of an app's access log; the hand's accesslog.py reads it.

    nginx follows a map once for a request: one is asked as the request comes, and one by the log.
    """
    for when in ("came", "last"):
        yield f"map $realpath_root ${_variable(app, when)} {{"
        yield '    default "-";'
        yield r'    "~-g([0-9]+)\.sock$" $1;'
        yield '    "~/releases/([0-9]+)-" $1;'
        yield "}"
    ours = (
        "steersman",
        "$msec",
        "$request_time",
        "$upstream_response_time",
        "$upstream_connect_time",
        "$upstream_status",
        "$status",
        "$bytes_sent",
        "$request_completion",
        f"${_variable(app, 'first')}",
        f"${_variable(app, 'last')}",
        f"$server_name${_variable(app, 'route')}",
    )
    yield f"log_format steersman_{safe(app)}"
    yield f"    '{_COMBINED} '"
    yield f"    '{'|'.join(ours)}';"
