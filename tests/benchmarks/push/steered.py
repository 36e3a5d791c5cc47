"""steersman's way: a daemon that holds its links, and one push to it."""

import socket
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import yaml

from acceptance.daemon import serving
from acceptance.steer import Steer
from benchmarks.push.client import ssh_command
from benchmarks.rollout.shop_repo import Shop
from benchmarks.tools import BIN, version_of
from lab.commands import run
from lab.host import Host

APP = "steered"


@dataclass
class Steersman:
    """One `git push` to a daemon that runs already, as the rivals' sshd do."""

    steer: Steer
    key: Path
    strategy: str
    name: str = "steersman"
    site: str = f"{APP}.example.com"
    version: str = field(init=False)
    shop: Shop = field(init=False)

    def __post_init__(self) -> None:
        self.version = version_of(BIN, self.name)
        self.shop = Shop(self.steer.folder / APP, {"steersman.yaml": self._manifest()})

    @property
    def env(self) -> Mapping[str, str]:
        return {"GIT_SSH_COMMAND": ssh_command(self.key, self._known_hosts)}

    def deploy(self, hosts: Sequence[Host], *, is_first: bool) -> Sequence[str]:
        return ["git", "-C", str(self.shop.path), "push", "steer", "main"]

    @contextmanager
    def prepared(self) -> Iterator[None]:
        """Run a daemon that takes this user's pushes while the block runs."""
        self.steer.apply(*self.steer.hosts())
        with socket.create_server(("127.0.0.1", 0)) as free:
            port = free.getsockname()[1]
        public = self.key.with_suffix(".pub").read_text().strip()
        git = {"listen": f"127.0.0.1:{port}", "keys": {"user": {"key": public, "apps": [APP]}}}
        state = self.steer.folder / "state/steersman"
        (state / "serve.yaml").write_text(yaml.safe_dump({"git": git}))
        self.steer.run("git", "create", APP, "--route", self.site)
        url = f"ssh://git@127.0.0.1:{port}/{APP}"
        run(["git", "-C", str(self.shop.path), "remote", "add", "steer", url])
        with serving(self.steer):
            scanned = run(["ssh-keyscan", "-p", str(port), "127.0.0.1"])
            self._known_hosts.write_text(scanned)
            yield

    @property
    def _known_hosts(self) -> Path:
        return self.steer.folder / "known_hosts"

    def _manifest(self) -> str:
        app = {
            "apiVersion": "steersman/v1",
            "kind": "App",
            "metadata": {"name": APP},
            "spec": {
                "source": {"path": "."},
                "processes": {"web": {"command": "gunicorn app:app", "port": "http"}},
                "routes": [{"host": self.site, "process": "web"}],
                # As many hosts at once as a user who pushes to all of them.
                "rollout": {"strategy": self.strategy, "maxSurge": "100%"},
            },
        }
        return yaml.safe_dump(app)
