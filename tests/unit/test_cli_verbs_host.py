"""`steer host` against a real sshd: whose key it is, and where the way in ends."""

import getpass
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from transport_lab import SSHD, Server, make_key, run_sshd

pytestmark = pytest.mark.skipif(SSHD is None, reason="needs an sshd")


@pytest.fixture
def server(tmp_path: Path) -> Iterator[Server]:
    (tmp_path / "sshd").mkdir()
    with run_sshd(tmp_path / "sshd") as running:
        yield running


class Person:
    """Somebody with a Host manifest, a home and a state of their own."""

    def __init__(self, folder: Path, server: Server) -> None:
        self.folder = folder
        self.server = server
        self.write()

    def write(self, **spec: object) -> None:
        lines = {
            "address": "127.0.0.1",
            "port": self.server.port,
            "user": getpass.getuser(),
            "identity": self.server.identity,
            **spec,
        }
        (self.folder / "h1.yaml").write_text(
            "apiVersion: steersman/v1\nkind: Host\nmetadata: {name: h1}\nspec:\n"
            + "".join(f"  {key}: {value}\n" for key, value in lines.items())
        )

    def steer(self, *args: str) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "HOME": str(self.folder), "XDG_STATE_HOME": str(self.folder / "state")}
        env |= {"XDG_CACHE_HOME": str(self.folder / "cache"), "PYTHONIOENCODING": "utf-8"}
        return subprocess.run(
            [sys.executable, "-m", "steersman.cli", "host", *args, "-f", "h1.yaml"],
            env=env,
            cwd=self.folder,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    @property
    def pinned(self) -> str:
        path = self.folder / "state/steersman/known_hosts"
        return path.read_text() if path.exists() else ""


@pytest.fixture
def person(tmp_path: Path, server: Server) -> Person:
    return Person(tmp_path, server)


def fingerprint(server: Server) -> str:
    key = server.folder / "host_ed25519.pub"
    shown = subprocess.run(["ssh-keygen", "-lf", str(key)], capture_output=True, check=True)
    return shown.stdout.decode().split()[1]


def test_a_key_is_pinned_only_when_its_fingerprint_is_named(person: Person) -> None:
    own = fingerprint(person.server)
    asked = person.steer("trust", "h1")
    assert asked.returncode == 1
    assert own in asked.stdout and f"--accept {own}" in asked.stderr
    wrong = person.steer("trust", "h1", "--accept", "SHA256:" + "A" * 43)
    assert wrong.returncode == 1 and "nothing was trusted" in wrong.stderr
    assert person.pinned == ""
    assert person.steer("trust", "h1", "--accept", own).returncode == 0
    assert person.pinned == f"[127.0.0.1]:{person.server.port} {person.server.host_key}\n"
    again = person.steer("trust", "h1")
    assert (again.returncode, "unchanged" in again.stdout) == (0, True)


def test_another_key_takes_replace(person: Person, tmp_path: Path) -> None:
    own = fingerprint(person.server)
    other = make_key(tmp_path / "other")
    folder = tmp_path / "state/steersman"
    folder.mkdir(parents=True, mode=0o700)
    (folder / "known_hosts").write_text(f"[127.0.0.1]:{person.server.port} {other}\n")
    refused = person.steer("trust", "h1", "--accept", own)
    assert refused.returncode == 1 and "steer host trust h1 --replace" in refused.stderr
    assert person.steer("trust", "h1", "--accept", own, "--replace").returncode == 0
    assert person.server.host_key in person.pinned and other not in person.pinned


def test_the_manifests_own_key_counts_alone(person: Person, tmp_path: Path) -> None:
    person.write(hostKey=make_key(tmp_path / "other"))
    refused = person.steer("trust", "h1", "--accept", fingerprint(person.server))
    assert refused.returncode == 1 and "correct spec.hostKey" in refused.stderr
    person.write(hostKey=person.server.host_key)
    assert person.steer("trust", "h1").returncode == 0
    assert person.pinned == ""


def test_the_checklist_ends_where_the_way_in_does(
    person: Person, tmp_path: Path, closed_port: int
) -> None:
    unknown = person.steer("check")
    assert unknown.returncode == 1
    assert "✓ reachable" in unknown.stdout and "✗ host key" in unknown.stdout
    assert "fix: compare it" in unknown.stdout and "steer host trust h1" in unknown.stdout
    make_key(tmp_path / "stranger")
    person.write(hostKey=person.server.host_key, identity=tmp_path / "stranger")
    refused = person.steer("check")
    assert "✓ host key" in refused.stdout and "✗ login" in refused.stdout
    assert "authorized_keys" in refused.stdout
    person.write(port=closed_port)
    absent = person.steer("check")
    assert absent.returncode == 1
    assert "✗ reachable  Connection refused" in absent.stdout
    assert "✓" not in absent.stdout


def test_the_checklist_goes_on_to_what_the_host_has(person: Person) -> None:
    person.write(
        hostKey=person.server.host_key, proxy="none", scope="user", supervisor="supervisor"
    )
    shown = person.steer("check")
    assert shown.returncode == 0, shown.stdout + shown.stderr
    for what in ("reachable", "host key", "login", "Python", "disk", "clock"):
        assert f"✓ {what}" in shown.stdout or f"! {what}" in shown.stdout
    assert "nginx" not in shown.stdout
