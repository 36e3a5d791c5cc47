"""The ways to a host: checked, trusted, by sudo, over another host; and a host that reboots."""

from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import pytest

from acceptance.steer import EXAMPLES, PULSE, Document, Repo, Steer, app, example
from acceptance.web import serves
from lab.commands import run, wait_until
from lab.host import Host
from lab.lab import Lab

pytestmark = pytest.mark.lab

SSHD = "/etc/ssh/sshd_config.d/test.conf"
KEY = "/etc/ssh/ssh_host_ed25519_key"


@pytest.fixture(scope="module")
def pulse(tmp_path_factory: pytest.TempPathFactory) -> Repo:
    return Repo(tmp_path_factory.mktemp("repos") / "pulse", PULSE)


def placed(document: Document, host: Host) -> Document:
    document["spec"]["placement"] = {"hosts": [host.name]}
    return document


def test_a_host_that_has_all_is_told_so(steer: Steer, hosts: Lab) -> None:
    file = steer.write("hosts.yaml", *steer.hosts())
    told = steer.run("host", "check", "-f", file)
    for host in hosts.hosts:
        assert f"host/{host.name}" in told.out
    for what in ("reachable", "host key", "login", "Python", "systemd", "nginx", "disk", "clock"):
        assert told.out.count(f" {what} ") == 3, told.said
    assert "fix:" not in told.out, told.said


def test_what_a_host_lacks_is_told_with_the_fix(steer: Steer, hosts: Lab) -> None:
    host = hosts.hosts[0]
    host.run(["systemctl", "stop", "nginx"])
    told = steer.run("host", "check", "-f", steer.write("hosts.yaml", *steer.hosts(host)), expect=1)
    assert "fix: `systemctl enable --now nginx`" in told.out
    host.run(["systemctl", "start", "nginx"])
    absent = steer.hosts(host)
    absent[0]["spec"]["port"] = 2222
    told = steer.run("host", "check", "-f", steer.write("hosts.yaml", *absent), expect=1)
    assert "reachable" in told.out and "fix:" in told.out


@pytest.fixture
def rekeyed(hosts: Lab) -> Iterator[Callable[[], None]]:
    """Return what gives h1 another host key; it gets its own back."""
    host = hosts.hosts[0]

    def rekey() -> None:
        host.run(["mv", KEY, f"{KEY}.pub", "/root"])
        host.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", KEY])
        host.run(["systemctl", "restart", "ssh"])

    yield rekey
    kept = host.root / "root" / Path(KEY).name
    if kept.exists():
        host.run(["mv", f"/root/{kept.name}", f"/root/{kept.name}.pub", "/etc/ssh"])
        host.run(["systemctl", "restart", "ssh"])


def test_a_key_is_refused_until_trusted_and_when_it_changes(
    steer: Steer, hosts: Lab, pulse: Repo, rekeyed: Callable[[], None]
) -> None:
    host = hosts.hosts[0]
    documents = [*steer.hosts(host), placed(app("pulse", pulse), host)]
    del documents[0]["spec"]["hostKey"]
    refused = steer.apply(*documents, expect=1)
    assert "steer host trust h1" in refused.err, refused.said
    shown = steer.run("host", "trust", "h1", expect=1)
    public = host.root / KEY[1:]
    fingerprint = run(["ssh-keygen", "-lf", f"{public}.pub"]).split()[1]
    assert fingerprint in shown.out and f"--accept {fingerprint}" in shown.err
    assert "unreachable" in steer.apply(*documents, expect=1).out, "asking alone pinned the key"
    steer.run("host", "trust", "h1", "--accept", "SHA256:" + "A" * 43, expect=1)
    steer.run("host", "trust", "h1", "--accept", fingerprint)
    steer.apply(*documents)
    assert serves(host, "pulse.example.com", "1")
    rekeyed()
    changed = steer.apply(*documents, expect=1)
    assert "steer host trust h1 --replace" in changed.err, changed.said
    other = run(["ssh-keygen", "-lf", f"{public}.pub"]).split()[1]
    assert steer.run("host", "trust", "h1", "--accept", other, expect=1).code == 1
    steer.run("host", "trust", "h1", "--accept", other, "--replace")
    steer.apply(*documents)


def test_sudo_deploys_as_root_does(steer: Steer, hosts: Lab, pulse: Repo) -> None:
    host = hosts.hosts[1]
    by_sudo = steer.hosts(host, user="deploy")
    steer.apply(*by_sudo, placed(app("sudo", pulse), host))
    assert serves(host, "sudo.example.com", "1")
    assert (host.root / "srv/steersman/apps/sudo/current").readlink().name.startswith("1-")
    told = steer.run("host", "check", "h2").out
    assert "deploy" in told and "by sudo" in told
    steer.run("delete", "app/sudo", "host/h2")
    assert not (host.root / "srv/steersman").exists()


@pytest.fixture
def only_over_h2(hosts: Lab) -> Iterator[None]:
    """Let h3 be logged in to from h2 alone."""
    over, host = hosts.hosts[1], hosts.hosts[2]
    host.run(["tee", SSHD], stdin=f"AllowUsers root@{over.address}\n")
    host.run(["systemctl", "restart", "ssh"])
    yield
    host.run(["rm", SSHD])
    host.run(["systemctl", "restart", "ssh"])


@pytest.mark.usefixtures("only_over_h2")
def test_a_host_is_reached_over_another(steer: Steer, hosts: Lab, pulse: Repo) -> None:
    over, host = hosts.hosts[1], hosts.hosts[2]
    documents = [*steer.hosts(over, host), placed(app("far", pulse), host)]
    steer.apply(*documents, expect=1)
    documents[1]["spec"]["jump"] = over.name
    steer.apply(*documents)
    assert serves(host, "far.example.com", "1")


def test_a_reboot_brings_every_app_back_by_itself(
    steer: Steer, hosts: Lab, pulse: Repo, tmp_path: Path
) -> None:
    host = hosts.hosts[1]
    by_path, plain = (
        app("path", pulse),
        example("port-plain", Repo(tmp_path / "plain", EXAMPLES / "port-plain/src"))[0],
    )
    by_path["spec"]["processes"]["web"]["command"] = "gunicorn app:app --bind unix:$SOCKET"
    by_path["spec"]["processes"]["worker"] = {"command": "python worker.py"}
    apps = [placed(each, host) for each in (app("socket", pulse), by_path, plain)]
    steer.apply(*steer.hosts(host), *apps)
    # Even what changed since the first deploy must be what comes back.
    pulse.release("2")
    steer.apply(*apps)
    hosts.reboot(1)
    for site, revision in (("socket", "2"), ("path", "2"), ("plain", "1")):
        wait_until(
            partial(serves, host, f"{site}.example.com", revision),
            f"the answer of {site} after the reboot",
        )
    for name in ("socket", "path", "plain"):
        assert steer.run("diff", f"app/{name}").code == 0
