"""The hosts and what is on them: two apps that steersman deployed to every one."""

import os
import subprocess
from pathlib import Path

from benchmarks.tools import Steersman, environment
from benchmarks.void import Void
from benchmarks.wanted import Reader, Wanted
from lab.commands import run
from lab.lab import Lab
from lab.reach import Files

APPS = ("one", "two")

# It sleeps until somebody asks, and so takes nothing from what is measured; uvicorn and gunicorn
# wake up by themselves.
_SERVER = '''\
"""Answers on the socket that systemd handed over."""

import socket
from http.server import BaseHTTPRequestHandler, HTTPServer


class Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.send_header("Content-Length", "3")
        self.end_headers()
        self.wfile.write(b"ok\\n")

    def address_string(self):
        return "proxy"

    def log_message(self, *_):
        pass


server = HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket.close()
server.socket = socket.socket(fileno=3)
server.serve_forever(poll_interval=3600)
'''

_MANIFEST = """\
---
apiVersion: steersman/v1
kind: App
metadata: {{name: {name}}}
spec:
  source: {{git: {{url: "{source}", ref: main}}}}
  config: {{env: {{GREETING: hello, LOG_LEVEL: info}}}}
  processes:
    web: {{command: "python serve.py", port: http, handover: socket, health: {{http: /}}}}
  routes: [{{host: {name}.example.com, process: web}}]
  placement: {{selector: {{role: web}}}}
"""


class Scene:
    """Deploys to all hosts of a lab; `folder` takes the manifests and steersman's memory."""

    def __init__(self, lab: Lab, folder: Path) -> None:
        self.lab = lab
        self.folder = folder
        self.reach: Files = lab.write_reach(folder / "reach")
        self.manifests = folder / "apps.yaml"
        source = folder / "source"
        _make_repository(source)
        self.manifests.write_text("".join(_MANIFEST.format(name=n, source=source) for n in APPS))
        self.steersman = Steersman(self.manifests, len(lab.hosts), folder)

    def deploy(self) -> Wanted:
        """Return what is on the hosts afterwards; raises `Void` unless it is the same on all."""
        hosts = [*self.steersman.argv, "-f", str(self.reach.manifests)]
        done = subprocess.run(
            hosts, env=environment(self.steersman.env), capture_output=True, text=True, check=False
        )
        if done.returncode != 0:
            raise Void(f"could not deploy the apps:\n{done.stdout}{done.stderr}")
        wanted, *others = (Reader(host).wanted(APPS) for host in self.lab.hosts)
        for host, other in zip(self.lab.hosts[1:], others, strict=True):
            if other != wanted:
                raise Void(f"{host.name} does not hold the same as {self.lab.hosts[0].name}")
        return wanted


def _make_repository(folder: Path) -> None:
    folder.mkdir()
    (folder / "serve.py").write_text(_SERVER)
    author = {"NAME": "bench", "EMAIL": "bench@example.com"}
    names = {f"GIT_{who}_{k}": v for who in ("AUTHOR", "COMMITTER") for k, v in author.items()}
    env = os.environ | names | {"GIT_CONFIG_GLOBAL": os.devnull, "GIT_CONFIG_SYSTEM": os.devnull}
    git = ["git", "-C", str(folder)]
    run([*git, "init", "--quiet", "--initial-branch=main"], env=env)
    run([*git, "add", "serve.py"], env=env)
    run([*git, "commit", "--quiet", "--message=One server"], env=env)
