"""The daemon as a systemd service: its unit file, and where that belongs."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from steersman.api.errors import SteersmanError
from steersman.drivers.unitfile import Directive, environment, exec_words, path, render

NAME = "steer.service"


class NotInstalled(SteersmanError):
    """The service manager did not take the unit."""

    def __init__(self, argv: Sequence[str], said: str) -> None:
        super().__init__(
            f"`{' '.join(argv)}` failed: {said.strip() or 'it said nothing'}; the unit file is"
            " written: mend the cause and run that command by hand"
        )


@dataclass(frozen=True, slots=True)
class Service:
    """What is to run: `argv` with absolute paths, as the user who asks, in that user's home."""

    argv: tuple[str, ...]
    home: str
    state_dir: str
    is_root: bool

    @property
    def unit_path(self) -> Path:
        if self.is_root:
            return Path("/etc/systemd/system") / NAME
        return Path(self.home) / ".config/systemd/user" / NAME

    @property
    def systemctl(self) -> tuple[str, ...]:
        return ("systemctl",) if self.is_root else ("systemctl", "--user")

    def render(self) -> bytes:
        """Return the unit file."""
        unit: list[Directive] = [
            ("Description", "steersman: keeps hosts in agreement with their manifests"),
            ("After", "network-online.target"),
            ("Wants", "network-online.target"),
        ]
        service: list[Directive] = [
            ("Type", "notify"),
            ("NotifyAccess", "main"),
            ("ExecStart", exec_words(self.argv)),
            ("WorkingDirectory", path(self.home)),
            ("Environment", environment("HOME", self.home)),
            ("Environment", environment("STEER_STATE_DIR", self.state_dir)),
            ("Restart", "on-failure"),
            ("RestartSec", "1"),
            ("WatchdogSec", "60"),
            # It stops behind the step it is making, builds included.
            ("TimeoutStopSec", "90"),
            # What builds have started ends with it.
            ("KillMode", "mixed"),
            ("UMask", "0077"),
            ("LimitCORE", "0"),
            ("NoNewPrivileges", "yes"),
            ("LockPersonality", "yes"),
            ("RestrictRealtime", "yes"),
            ("RestrictSUIDSGID", "yes"),
        ]
        target = "multi-user.target" if self.is_root else "default.target"
        return render([("Unit", unit), ("Service", service), ("Install", [("WantedBy", target)])])


def install(service: Service) -> None:
    """Write the unit file and have it started now and at every boot; raises NotInstalled."""
    service.unit_path.parent.mkdir(parents=True, exist_ok=True)
    fresh = service.unit_path.with_suffix(".new")
    fresh.write_bytes(service.render())
    fresh.chmod(0o644)
    os.replace(fresh, service.unit_path)
    for words in (("daemon-reload",), ("enable", NAME), ("restart", NAME)):
        argv = (*service.systemctl, *words)
        try:
            done = subprocess.run(argv, capture_output=True, text=True, check=False, timeout=120)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise NotInstalled(argv, str(error)) from error
        if done.returncode != 0:
            raise NotInstalled(argv, done.stderr)
