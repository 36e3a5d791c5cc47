"""Piku's way: a repository, a hook and a venv on every host, and one push to each."""

import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from benchmarks.push.client import ssh_command
from benchmarks.rollout.shop_repo import Shop
from benchmarks.rollout.tools import HOME, SITE, UNIT
from benchmarks.void import Void
from lab.commands import run
from lab.host import Host

HERE = Path(__file__).parent / "rivals"
_ENV = (f"HOME={HOME}", "PIP_DISABLE_PIP_VERSION_CHECK=1")
_INSTALL = ".venv/bin/pip install --quiet -r requirements.txt"


@dataclass
class Piku:
    """Piku on each host, without what only its first deploy needs.

    With `installs` the hook runs pip each time, without it as if Piku had seen that the
    requirements are older than the venv. `port` is where the gunicorn listens.
    """

    name: str
    home: Path
    key: Path
    known_hosts: Path
    port: int
    installs: bool
    version: str = ""
    site: str = field(init=False)
    shop: Shop = field(init=False)

    def __post_init__(self) -> None:
        self.site = f"{self.name}.example.com"
        self.shop = Shop(self.home / self.name, {})

    @property
    def env(self) -> Mapping[str, str]:
        return {"GIT_SSH_COMMAND": ssh_command(self.key, self.known_hosts)}

    def deploy(self, hosts: Sequence[Host], *, is_first: bool) -> Sequence[str]:
        names = [host.name for host in hosts]
        return ["env", "-C", str(self.shop.path), str(HERE / "push-everywhere"), *names]

    def prepare(self, host: Host, index: str, pip: Path) -> None:
        """Have all that a first deploy would make; `pip` is the wheel of it."""
        home = f"{HOME}/{self.name}"
        url = f"ssh://deploy@{host.address}{home}.git"
        run(["git", "-C", str(self.shop.path), "remote", "add", host.name, url])
        _as_deploy(host, f"git init --quiet --bare --initial-branch=main {home}.git")
        _as_deploy(host, f"mkdir -p {home}.git/hooks")
        _as_deploy(host, f"git clone --quiet {home}.git {home} 2>/dev/null")
        _write(host, f"{home}/requirements.txt", (self.shop.path / "requirements.txt").read_text())
        shutil.copy(pip, host.root / f"tmp/{pip.name}")
        _as_deploy(host, f"cd {home} && python3 -m venv --without-pip .venv")
        own = f"cd {home} && .venv/bin/python /tmp/{pip.name}/pip install --quiet --no-index"
        _as_deploy(host, f"{own} /tmp/{pip.name}")
        mirror = f"--index-url {index} --trusted-host {host.network.machine}"
        _as_deploy(host, f"cd {home} && {_INSTALL} {mirror}")
        words = {"home": HOME, "name": self.name, "port": self.port, "site": self.site}
        _write(host, f"/etc/systemd/system/{self.name}.service", UNIT.format(**words))
        _write(host, f"/etc/nginx/conf.d/{self.name}.conf", SITE.format(**words))
        host.run(["systemctl", "daemon-reload"])
        host.run(["systemctl", "enable", "--quiet", self.name])
        host.run(["systemctl", "reload", "nginx"])
        self._hook(host, f"{home}.git/hooks/post-receive")

    def _hook(self, host: Host, path: str) -> None:
        text = (HERE / "post-receive").read_text().replace("NAME", self.name)
        _write(host, path, text.replace("INSTALL", _INSTALL if self.installs else "true"))
        host.run(["chmod", "755", path])


def give_git(hosts: Sequence[Host]) -> None:
    """Put this machine's git on hosts, which are the same Debian, as their image would have it."""
    git = shutil.which("git")
    if git is None:
        raise Void("there is no git on this machine; install it")
    linked = run(["ldd", git]).split()
    needed = [Path(word).resolve() for word in linked if "pcre2" in word and word.startswith("/")]
    for host in hosts:
        for path, target in [(Path(git), "usr/bin/git"), *((n, str(n)[1:]) for n in needed)]:
            (host.root / target).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, host.root / target)
        for service in ("git-receive-pack", "git-upload-pack"):
            (host.root / "usr/bin" / service).symlink_to("git")
        host.run(["ldconfig"])


def pip_wheel(pip: Path, folder: Path) -> Path:
    """Download the newest pip."""
    argv = [str(pip), "download", "--quiet", "--no-deps", f"--dest={folder}", "pip"]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise Void(f"could not download pip:\n{done.stderr[-2000:]}")
    return next(folder.glob("pip-*.whl"))


def _as_deploy(host: Host, command: str) -> None:
    host.run(["runuser", "-u", "deploy", "--", "env", *_ENV, "sh", "-c", command])


def _write(host: Host, path: str, text: str) -> None:
    host.run(["tee", path], stdin=text)
