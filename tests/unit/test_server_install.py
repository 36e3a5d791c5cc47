"""The daemon's unit file: what systemd reads is what was meant."""

import shutil
import subprocess
from dataclasses import replace
from pathlib import Path

import pytest

from acceptance.steer import Steer
from steersman.server.install import NotInstalled, Service, install

SERVICE = Service(
    argv=("/usr/bin/python3", "-m", "steersman.cli", "serve", "-f", '/etc/a b/50% "x"'),
    home="/root",
    state_dir="/var/lib/steer $man",
    is_root=True,
)


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="no systemd-analyze here")
def test_systemd_finds_no_fault_with_it(tmp_path: Path) -> None:
    unit = tmp_path / "steer.service"
    unit.write_bytes(SERVICE.render())
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True
    )
    ours = [line for line in done.stderr.splitlines() if "steer.service" in line]
    assert ours == []


def test_a_person_who_is_not_root_gets_a_service_of_their_own() -> None:
    mine = replace(SERVICE, is_root=False, home="/home/ada")
    assert str(mine.unit_path) == "/home/ada/.config/systemd/user/steer.service"
    assert mine.systemctl == ("systemctl", "--user")
    assert b"WantedBy=default.target" in mine.render()


def test_a_manager_that_does_not_answer_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    mine = replace(SERVICE, is_root=False, home=str(tmp_path))
    with pytest.raises(NotInstalled, match="the unit file is written: mend the cause"):
        install(mine)
    assert mine.unit_path.read_bytes() == mine.render()


def test_the_unit_runs_what_was_asked_for(tmp_path: Path) -> None:
    steer = Steer(tmp_path, tmp_path / "cache")
    printed = steer.run("serve", "-f", "manifests", "-R", "--print-unit").out
    (line,) = [line for line in printed.splitlines() if line.startswith("ExecStart=")]
    assert line.endswith(f'"steersman.cli" "serve" "-f" "{tmp_path}/manifests" "-R"')
    assert f'Environment="STEER_STATE_DIR={tmp_path}/state/steersman"' in printed
    assert not (tmp_path / "state").exists()
