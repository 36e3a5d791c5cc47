"""Caddy as the proxy: its admin API takes a whole configuration or leaves the old one.

Admin API: https://caddyserver.com/docs/api. A load keeps listeners and lets requests end.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import threading

from . import files
from .place import Place
from .supervisor_rpc import UnixConnection
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, Iterator, List, Tuple

PREFIX, ENDING = "steersman-", ".caddy"
TIMEOUT = 30.0
CADDYFILE = {"Content-Type": "text/caddyfile", "Host": "localhost"}


class Caddy:
    """The site files named `steersman-*.caddy` in the folder that its Caddyfile imports."""

    unit = ""  # it may run under anything: whoever writes a site is told that it is away

    def __init__(self, place: Place) -> None:
        self._sites = place.sites
        self._main = place.extra["caddyfile"]
        self._admin = place.extra["caddy_admin"]
        self._logs = place.extra["caddy_logs"]
        self._import = re.compile(
            r"^[ \t]*import[ \t]+%s/\S+[ \t]*$" % re.escape(place.sites), re.MULTILINE
        )
        self._one_at_a_time = threading.Lock()

    def folders(self) -> List[str]:
        """Return where a change can mean other names."""
        return [os.path.dirname(self._main)]

    def foreign_names(self) -> Dict[str, str]:
        """Return {host name: file} of the sites that are not ours."""
        try:
            status, answer = self._post("/adapt", self._merged({}))
        except OSError:
            # Whoever writes a site is told that Caddy is away; apps without one need it not.
            return {}
        if status != 200:
            raise Refused("proxy", "Caddy cannot read its own %s: %s" % (self._main, _why(answer)))
        return dict.fromkeys(_hosts(json.loads(answer)["result"]), self._main)

    def write_site(self, path: str, data: bytes) -> None:
        """Load `data` with all the other sites; only what Caddy took becomes the file."""
        name = os.path.basename(path)
        with self._one_at_a_time:
            self._load({**self._stored(), name: data}, name)
            files.write_file(path, data, 0o644)

    def remove_site(self, path: str) -> None:
        name = os.path.basename(path)
        with self._one_at_a_time:
            self._load({n: d for n, d in self._stored().items() if n != name}, name)
            for log in files.entries(self._logs):
                # With what was rolled: its time stands before the ending.
                if log.startswith(name[: -len(ENDING)] + ".access"):
                    files.remove(os.path.join(self._logs, log))
            # Last: while it is there, whoever comes next removes the site again.
            files.remove(path)

    def _stored(self) -> Dict[str, bytes]:
        stored = {}
        for name in files.entries(self._sites):
            if name.startswith(PREFIX) and name.endswith(ENDING):
                with open(os.path.join(self._sites, name), "rb") as file:
                    stored[name] = file.read()
        return stored

    def _merged(self, sites: Dict[str, bytes]) -> bytes:
        """Return the Caddyfile with `sites` in place of its import of them."""
        try:
            with open(self._main, encoding="utf-8") as file:
                text = file.read()
        except FileNotFoundError:
            raise Refused("proxy", "there is no %s; Caddy is set up by it" % self._main)
        if not self._import.search(text):
            line = "import %s/%s*%s" % (self._sites, PREFIX, ENDING)
            raise Refused("proxy", "%s lacks the line `%s`; add it" % (self._main, line))
        ours = b"\n".join(sites.values()).decode()
        return self._import.sub(lambda _: ours, text, count=1).encode()

    def _load(self, sites: Dict[str, bytes], name: str) -> None:
        try:
            status, answer = self._post("/load", self._merged(sites))
        except OSError as error:
            why = "Caddy does not answer at %s: %s; start it" % (self._admin, error)
            raise Refused("proxy", why)
        if status != 200:
            raise Refused("proxy-refused", "Caddy refused the site %s: %s" % (name, _why(answer)))

    def _post(self, path: str, body: bytes) -> Tuple[int, bytes]:
        if self._admin.startswith("/"):
            connection: http.client.HTTPConnection = UnixConnection(self._admin, TIMEOUT)
        else:
            connection = http.client.HTTPConnection(self._admin, timeout=TIMEOUT)
        try:
            connection.request("POST", path, body, CADDYFILE)
            answer = connection.getresponse()
            return answer.status, answer.read()
        except http.client.HTTPException as error:
            raise OSError("no HTTP answer: %r" % error)
        finally:
            connection.close()


def _why(answer: bytes) -> str:
    try:
        return str(json.loads(answer)["error"])
    except (ValueError, KeyError, TypeError):
        return answer[:300].decode("utf-8", "backslashreplace") or "no reason given"


def _hosts(config: Any) -> Iterator[str]:
    """Yield the host names that any matcher in Caddy's JSON names."""
    if isinstance(config, dict):
        for matcher in config.get("match") or ():
            if isinstance(matcher, dict):
                yield from matcher.get("host") or ()
        for value in config.values():
            yield from _hosts(value)
    elif isinstance(config, list):
        for value in config:
            yield from _hosts(value)
