"""steersman, pyinfra and Fabric as deployers of the shop: how each is run at its best."""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

import yaml

from benchmarks.rollout.shop_repo import Shop
from benchmarks.tools import BIN, version_of
from lab import reach
from lab.commands import run
from lab.host import Host

RIVALS = ("pyinfra", "fabric")
HERE = Path(__file__).parent / "rivals"
HOME = "/home/deploy"

UNIT = """\
[Unit]
After=network.target
[Service]
User=deploy
WorkingDirectory={home}/{name}
ExecStart={home}/{name}/.venv/bin/gunicorn --bind 127.0.0.1:{port} app:app
Restart=always
[Install]
WantedBy=multi-user.target
"""
SITE = """\
server {{
    listen 80;
    server_name {site};
    location / {{
        proxy_pass http://127.0.0.1:{port};
        proxy_set_header Host $host;
    }}
}}
"""


class Deployer(Protocol):
    """Something that brings what is committed in `shop` to hosts."""

    name: str
    version: str
    site: str
    shop: Shop

    @property
    def env(self) -> Mapping[str, str]: ...
    def deploy(self, hosts: Sequence[Host], *, is_first: bool) -> Sequence[str]:
        """Do what a person would before the command, and return the command."""


@dataclass
class Steersman:
    """One `steer apply` from a terminal; links, the hand and its memory are new each time."""

    home: Path
    key: Path
    strategy: str
    app: str = "steered"
    name: str = "steersman"
    version: str = field(init=False)
    site: str = field(init=False)
    shop: Shop = field(init=False)

    def __post_init__(self) -> None:
        self.version = version_of(BIN, self.name)
        self.site = f"{self.app}.example.com"
        self.shop = Shop(self.home / self.app, {})

    @property
    def env(self) -> Mapping[str, str]:
        # All apps of the benchmark share the wheels that this machine has.
        state = self.home / f"{self.app}-state"
        return {"STEER_STATE_DIR": str(state), "XDG_CACHE_HOME": str(self.home / "cache")}

    def deploy(self, hosts: Sequence[Host], *, is_first: bool) -> Sequence[str]:
        manifest = self.home / f"{self.app}.yaml"
        app = {
            "apiVersion": "steersman/v1",
            "kind": "App",
            "metadata": {"name": self.app},
            "spec": {
                "source": {"git": {"url": str(self.shop.path), "ref": "main"}},
                "processes": {"web": {"command": "gunicorn app:app", "port": "http"}},
                "routes": [{"host": self.site, "process": "web"}],
                "placement": {"hosts": [host.name for host in hosts]},
                # As many at once as the scripts take: all.
                "rollout": {"strategy": self.strategy, "maxSurge": "100%"},
            },
        }
        documents = [*(reach.manifest(host, self.key) for host in hosts), yaml.safe_dump(app)]
        manifest.write_text("---\n".join(documents))
        return [str(BIN / "steer"), "apply", "-v", "-f", str(manifest)]


@dataclass
class Script:
    """A deploy script of pyinfra's or Fabric's; `port` is where its gunicorn listens.

    The code goes as one archive over each host's kept connection: the hosts have no git, and a
    fetch of their own would only cost another handshake. Wheels come over plain HTTP, which costs
    this machine least; from the second deploy on uv finds nothing to do and asks nobody.
    """

    name: str
    home: Path
    key: Path
    known_hosts: Path
    bin: Path
    port: int
    index: str
    version: str = field(init=False)
    site: str = field(init=False)
    shop: Shop = field(init=False)

    def __post_init__(self) -> None:
        self.version = version_of(self.bin, self.name)
        self.site = f"{self.name}.example.com"
        self.home.mkdir()
        words = {"home": HOME, "name": self.name, "port": self.port, "site": self.site}
        files = {"app.service": UNIT, "app.conf": SITE}
        deploy = {f"deploy/{name}": text.format(**words) for name, text in files.items()}
        self.shop = Shop(self.home / "shop", deploy)

    @property
    def env(self) -> Mapping[str, str]:
        return {"BENCH_DEPLOY": str(self.home / "deploy.json"), "NO_COLOR": "1"}

    def deploy(self, hosts: Sequence[Host], *, is_first: bool) -> Sequence[str]:
        archive = self.home / "shop.tar.gz"
        packed = ["git", "-C", str(self.shop.path), "archive", "-o", str(archive), "HEAD"]
        run(packed)
        wanted = {
            "archive": str(archive),
            "hosts": {host.name: host.address for host in hosts},
            "key": str(self.key),
            "known_hosts": str(self.known_hosts),
            "remote": f"/tmp/{self.name}.tar.gz",
            "commands": self._first() if is_first else self._again(),
        }
        (self.home / "deploy.json").write_text(json.dumps(wanted))
        if self.name == "fabric":
            return [str(self.bin / "python"), str(HERE / "fabric_deploy.py")]
        tool = [str(self.bin / "pyinfra"), "--yes", "--no-wait", "--parallel", str(len(hosts))]
        return [*tool, str(HERE / "pyinfra_hosts.py"), str(HERE / "pyinfra_deploy.py")]

    def _again(self) -> list[str]:
        return [*self._unpacked(), self._synced(), f"sudo systemctl restart {self.name}"]

    def _first(self) -> list[str]:
        unit = f"/etc/systemd/system/{self.name}.service"
        return [
            f"mkdir {HOME}/{self.name}",
            *self._unpacked(),
            "uv venv -q --python /usr/bin/python3",
            self._synced(),
            f"sudo install -m 644 deploy/app.service {unit}",
            f"sudo install -m 644 deploy/app.conf /etc/nginx/conf.d/{self.name}.conf",
            f"sudo systemctl daemon-reload && sudo systemctl enable -q --now {self.name}",
            "sudo nginx -q -t && sudo systemctl reload nginx",
        ]

    def _unpacked(self) -> list[str]:
        return [f"cd {HOME}/{self.name}", f"tar -xzf /tmp/{self.name}.tar.gz"]

    def _synced(self) -> str:
        cache = f"{HOME}/.cache/uv-{self.name}"
        return f"uv pip sync -q --cache-dir {cache} --index-url {self.index} requirements.txt"


def give_uv(hosts: Sequence[Host]) -> None:
    """Put uv on hosts, as a machine's image would have it for the scripts."""
    uv = (BIN / "uv").read_bytes()
    for host in hosts:
        target = host.root / "usr/local/bin/uv"
        target.write_bytes(uv)
        target.chmod(0o755)


def finished(argv: Sequence[str], env: Mapping[str, str]) -> subprocess.CompletedProcess[str]:
    """Run a tool to its end, away from any terminal."""
    return subprocess.run(
        list(argv),
        cwd=HERE,
        env=dict(env),
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )
