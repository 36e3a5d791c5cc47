"""Programs on PATH are verbs, unless steer has that verb itself."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from steersman.cli.app import steer as command


@pytest.fixture
def bin_(tmp_path: Path) -> Path:
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("steer-foo", "steer-foo-bar", "steer-with_dash", "steer-get"):
        program(folder, name)
    return folder


def program(folder: Path, name: str, text: str = '#!/bin/sh\necho "$0" "$@"\nexit 7\n') -> None:
    (folder / name).write_text(text)
    (folder / name).chmod(0o755)


def steer(path: str, *args: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "steersman.cli", *args],
        env={**os.environ, "PATH": path},
        cwd=cwd,
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["foo"], "steer-foo"),
        (["foo", "baz", "-x", "bar"], "steer-foo baz -x bar"),
        (["foo", "bar", "baz"], "steer-foo-bar baz"),
        (["foo", "-x", "bar"], "steer-foo -x bar"),
        (["with-dash", "--", "a b"], "steer-with_dash -- a b"),
        (["with_dash"], "steer-with_dash"),
    ],
)
def test_the_longest_name_is_run_with_the_rest(bin_: Path, args: list[str], said: str) -> None:
    ran = steer(f"{bin_}:{os.environ['PATH']}", *args)
    assert (ran.returncode, ran.stdout) == (7, f"{bin_}/{said}\n"), ran.stderr


def test_no_plugin_takes_the_place_of_a_verb(bin_: Path) -> None:
    ran = steer(str(bin_), "get")
    assert (ran.returncode, "Missing argument" in ran.stderr) == (2, True)


def test_neither_the_folder_one_works_in_nor_a_path_adds_verbs(bin_: Path) -> None:
    for path in ("", ".", "bin"):
        ran = steer(path, "foo", cwd=bin_)
        assert (ran.returncode, "there is no verb 'foo'" in ran.stderr) == (2, True)
    assert steer(str(bin_), "../bin/foo").returncode == 2


def test_what_cannot_start_says_why(bin_: Path) -> None:
    program(bin_, "steer-odd", "\0no program\n")
    (bin_ / "steer-plain").write_text("#!/bin/sh\n")
    odd = steer(str(bin_), "odd")
    assert (odd.returncode, "steer-odd cannot be run: Exec format error" in odd.stderr) == (1, True)
    assert "there is no verb 'plain'" in steer(str(bin_), "plain").stderr


def test_the_list_warns_of_what_nothing_calls(bin_: Path, tmp_path: Path) -> None:
    later = tmp_path / "later"
    later.mkdir()
    (later / "steer-foo").write_text("#!/bin/sh\n")
    listed = steer(f"{bin_}:{later}:/nonexistent", "plugin", "list")
    assert listed.returncode == 1
    types, _, programs = listed.stdout.partition("The following plugins are available:\n\n")
    assert types.startswith("TYPE")
    assert programs.splitlines() == [
        *(f"{bin_}/steer-{name}" for name in ("foo", "foo-bar", "get", "with_dash")),
        f"{later}/steer-foo",
    ]
    for why in (
        f"{bin_}/steer-get is hidden by the verb `steer get`",
        f"{later}/steer-foo is hidden by {bin_}/steer-foo",
        f"{later}/steer-foo is not executable",
        "3 warnings",
    ):
        assert why in listed.stderr
    (bin_ / "steer-get").unlink()
    fine = steer(str(bin_), "plugin", "list", "--name-only")
    assert (fine.returncode, fine.stderr) == (0, "")
    assert fine.stdout.splitlines()[2:] == ["steer-foo", "steer-foo-bar", "steer-with_dash"]
    assert "would be `steer foo`" in steer("/nonexistent", "plugin", "list").stdout


def test_completion_knows_them(bin_: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bin_))
    complete = ShellComplete(command, {}, "steer", "_STEER_COMPLETE")
    found = {item.value: item.help for item in complete.get_completions([], "")}
    assert (found["foo"], found["with-dash"]) == ("A plugin", "A plugin")
    assert found["get"] != "A plugin"
