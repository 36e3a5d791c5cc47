"""How people and steersman reach the hosts of a lab: manifests, ssh_config, known_hosts."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lab.commands import write_whole
from lab.host import Host


@dataclass(frozen=True)
class Files:
    """Where the ways to reach a lab were written."""

    manifests: Path
    ssh_config: Path
    known_hosts: Path


def write(hosts: Sequence[Host], key: Path, folder: Path, user: str) -> Files:
    """Write all files into `folder`; a `user` other than root becomes root by sudo."""
    folder.mkdir(parents=True, exist_ok=True)
    files = Files(folder / "hosts.yaml", folder / "ssh_config", folder / "known_hosts")
    write_whole(files.manifests, "---\n".join(manifest(host, key, user) for host in hosts))
    write_whole(files.known_hosts, "".join(f"{h.address} {h.public_key}\n" for h in hosts))
    entries = (_ssh_entry(host, key, files.known_hosts.absolute(), user) for host in hosts)
    write_whole(files.ssh_config, "\n".join(entries))
    return files


def manifest(host: Host, key: Path, user: str = "root") -> str:
    """Return the Host manifest of one host, labelled `role: web`."""
    become = "none" if user == "root" else "sudo"
    return (
        "apiVersion: steersman/v1\n"
        "kind: Host\n"
        "metadata:\n"
        f"  name: {host.name}\n"
        "  labels: {role: web}\n"
        "spec:\n"
        f"  address: {host.address}\n"
        f"  user: {user}\n"
        f"  become: {become}\n"
        f"  identity: {key}\n"
        f"  hostKey: {host.public_key}\n"
    )


def _ssh_entry(host: Host, key: Path, known_hosts: Path, user: str) -> str:
    return (
        f"Host {host.name}\n"
        f"  HostName {host.address}\n"
        f"  User {user}\n"
        f"  IdentityFile {key}\n"
        "  IdentitiesOnly yes\n"
        f"  UserKnownHostsFile {known_hosts}\n"
        "  StrictHostKeyChecking yes\n"
    )
