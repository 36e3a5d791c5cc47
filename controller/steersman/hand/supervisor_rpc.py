"""Speaks to supervisord on its Unix socket; as a program, brings an app back at its start.

drivers/supervisor.py writes this file to hosts, where `… SPEC` starts what a boot should start
(stdlib, Python 3.9+). Methods and faults: http://supervisord.org/api.html.
"""

from __future__ import annotations

import http.client
import json
import os
import socket
import sys
import xmlrpc.client

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict

STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED = 0, 10, 20, 30, 40, 100
ALIVE = (STARTING, RUNNING, BACKOFF, STOPPING)


class UnixConnection(http.client.HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


class _Transport(xmlrpc.client.Transport):
    def __init__(self, path: str) -> None:
        super().__init__()
        self._path = path

    def make_connection(self, host: Any) -> http.client.HTTPConnection:
        connection = UnixConnection(self._path, 30)
        self._connection = host, connection
        return connection


def call(path: str, method: str, *args: Any) -> Any:
    """Call `supervisor.<method>`; raises xmlrpc.client.Fault, OSError or HTTPException."""
    transport = _Transport(path)
    with xmlrpc.client.ServerProxy("http://localhost", transport=transport) as server:
        return getattr(server.supervisor, method)(*args)


def bring_back(spec: Dict[str, Any], path: str) -> None:
    """Do what `spec` says, unless its app runs: then supervisord did not start just now."""
    prefix = "steersman-%s." % spec["app"]
    units = [
        info
        for info in call(path, "getAllProcessInfo")
        if info["group"].startswith(prefix) and info["group"] != spec["boot"]
    ]
    if any(info["state"] in ALIVE for info in units):
        return
    for folder, mode in spec["folders"]:
        os.makedirs(folder, exist_ok=True)
        os.chmod(folder, mode)
    for link, target in spec["links"].items():
        temporary = link + ".tmp"
        if os.path.lexists(temporary):
            os.unlink(temporary)
        os.symlink(target, temporary)
        os.rename(temporary, link)
    for unit in spec["units"]:
        call(path, "startProcessGroup", unit, False)


def main(path: str) -> None:
    with open(path, encoding="utf-8") as file:
        spec = json.load(file)
    bring_back(spec, os.environ["SUPERVISOR_SERVER_URL"].partition("://")[2])


if __name__ == "__main__":
    main(sys.argv[1])
