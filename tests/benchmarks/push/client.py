"""How a user's git reaches what he pushes to."""

from pathlib import Path


def ssh_command(key: Path, known_hosts: Path) -> str:
    """Return an ssh with one key that asks nobody; each push makes a connection of its own."""
    options = f"-o UserKnownHostsFile={known_hosts} -o IdentitiesOnly=yes -o BatchMode=yes"
    return f"ssh -F none -i {key} {options}"
