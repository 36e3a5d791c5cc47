"""steer itself: how it starts, what it says, how it fails."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from steersman.cli.app import steer
from steersman.cli.failures import exit_code, report
from steersman.cli.verbs import VERBS
from steersman.store.errors import StoreBusy

STEER = [sys.executable, "-m", "steersman.cli"]
HEAVY = {"apsw", "asyncio", "asyncssh", "difflib", "httpx", "jinja2", "pydantic", "rich", "yaml"}


def run(*args: str, **env: str) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("STEER_")}
    return subprocess.run(
        [*STEER, *args], env={**clean, **env}, capture_output=True, text=True, check=False
    )


def test_help_lists_every_verb_in_sections() -> None:
    shown = run("--help")
    assert shown.returncode == 0
    for name, verb in VERBS.items():
        assert f"  {name.ljust(10)}  {verb.summary}\n" in shown.stdout
    assert shown.stdout.index("Deploy:") < shown.stdout.index("Look:")
    assert run().stdout == run("-h").stdout == shown.stdout


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["nonsense"], ["completion", "bash"]])
def test_starting_imports_nothing_heavy(args: list[str]) -> None:
    probe = (
        "import sys; from steersman.cli.app import run; run(sys.argv[1:]);"
        "print(*{name.partition('.')[0] for name in sys.modules}, file=sys.stderr)"
    )
    said = subprocess.run(
        [sys.executable, "-c", probe, *args], capture_output=True, text=True, check=True
    )
    imported = set(said.stderr.splitlines()[-1].split())
    allowed = {"difflib"} if args == ["nonsense"] else set()
    assert "click" in imported
    assert imported & HEAVY == allowed


def test_version_is_short() -> None:
    assert run("--version").stdout.startswith("steersman 0.")
    assert run("version").stdout.splitlines()[1].startswith("Python 3.")
    facts = json.loads(run("version", "-o", "json").stdout)
    assert run("--version").stdout == f"steersman {facts['version']}\n"


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["appyl"], "there is no verb 'appyl'; did you mean apply?\nsee `steer --help`"),
        (["get"], "Missing argument 'WHAT...'.\nsee `steer get --help`"),
        (["get", "apps", "--frob"], "No such option '--frob'."),
        (["get", "apps", "-o", "xml"], "'xml' is not one of"),
        (["completion", "tcsh"], "'tcsh' is not one of"),
    ],
)
def test_wrong_usage_exits_2_with_the_way_out(args: list[str], why: str) -> None:
    said = run(*args)
    assert said.returncode == 2
    assert said.stdout == ""
    assert said.stderr.startswith("error: ")
    assert why in said.stderr


def test_a_failure_is_one_sentence_and_exits_1(tmp_path: Path) -> None:
    (tmp_path / "state.db").write_text("not a database " * 100)
    tmp_path.chmod(0o700)
    said = run("get", "apps", "--state-dir", str(tmp_path))
    assert said.returncode == 1
    assert said.stderr.startswith(f"error: state file {tmp_path}/state.db: it is not a SQLite")
    assert len(said.stderr.splitlines()) == 1
    by_option = run("get", "apps", "--state-dir", str(tmp_path), "--debug")
    by_variable = run("get", "apps", STEER_STATE_DIR=str(tmp_path), STEER_DEBUG="1")
    for debugging in (by_option, by_variable):
        assert "Traceback" in debugging.stderr
        assert debugging.stderr.splitlines()[-1] == said.stderr.strip()


def test_a_bug_is_one_line_that_says_how_to_see_more(capsys: pytest.CaptureFixture[str]) -> None:
    try:
        {}["gone"]  # type: ignore[index]
    except KeyError as error:
        report(error, is_debugging=False)
        assert exit_code(error) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: unexpected KeyError: 'gone' (test_cli_frame.py:")
    assert "--debug or STEER_DEBUG=1" in said
    assert len(said.splitlines()) == 1


def test_errors_of_a_group_are_all_told_once(capsys: pytest.CaptureFixture[str]) -> None:
    path = Path("/x")
    busy = [StoreBusy(path, "it is locked", "wait"), StoreBusy(path, "it is locked", "wait")]
    report(ExceptionGroup("many", [*busy, ExceptionGroup("in", [KeyError("k")])]), False)
    first, second = capsys.readouterr().err.splitlines()
    assert first == "error: state file /x: it is locked; wait"
    assert second.startswith("error: unexpected KeyError")


def test_what_a_host_wrote_cannot_steer_the_terminal(capsys: pytest.CaptureFixture[str]) -> None:
    report(StoreBusy(Path("/x"), "\x1b]0;owned\x07\u202e", "wait"), is_debugging=False)
    said = capsys.readouterr().err
    assert "\\x1b]0;owned\\x07\\x202e" in said
    assert "\x1b" not in said


def test_colour_follows_the_conventions() -> None:
    assert "\x1b[" not in run("nonsense").stderr
    assert run("nonsense", FORCE_COLOR="1").stderr.startswith("\x1b[31m")
    assert "\x1b[" not in run("nonsense", FORCE_COLOR="1", NO_COLOR="1").stderr


def test_nobody_reading_is_no_error() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    said = subprocess.run(
        [*STEER, "schema"], stdout=writing, stderr=subprocess.PIPE, text=True, check=False
    )
    os.close(writing)
    assert (said.returncode, said.stderr) == (141, "")


def test_ctrl_c_exits_130_without_a_traceback() -> None:
    probe = (
        "import sys, click, steersman.cli.app as app\n"
        "@click.command()\n"
        "def wait():\n"
        "    print('ready', flush=True)\n"
        "    sys.stdin.read()\n"
        "app.steer.get_command = lambda ctx, name: wait\n"
        "app.VERBS['wait'] = None\n"
        "sys.exit(app.run(['wait']))\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", probe],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    ) as waiting:  # fmt: skip
        assert waiting.stdout is not None
        assert waiting.stderr is not None
        assert waiting.stdout.readline() == "ready\n"
        waiting.send_signal(signal.SIGINT)
        assert waiting.stderr.read().strip() == ""
        assert waiting.wait() == 130


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_the_completion_script_is_good_shell(shell: str, tmp_path: Path) -> None:
    said = run("completion", shell)
    assert said.returncode == 0
    assert "_STEER_COMPLETE" in said.stdout
    if shutil.which(shell) is None:
        return
    script = tmp_path / "script"
    script.write_text(said.stdout)
    subprocess.run([shell, "-n", str(script)], check=True)


def test_verbs_and_kinds_complete(tmp_path: Path) -> None:
    def completed(words: str, cword: int) -> str:
        env = {"_STEER_COMPLETE": "bash_complete", "COMP_WORDS": words, "COMP_CWORD": str(cword)}
        return run(**env, XDG_STATE_HOME=str(tmp_path)).stdout

    assert completed("steer ro", 1) == "plain,rollout\n"
    assert completed("steer get ho", 2) == "plain,hosts\n"
    assert completed("steer get app s", 3).strip() == ""
    assert list(tmp_path.iterdir()) == []


def test_the_script_is_installed() -> None:
    script = Path(sys.executable).parent / "steer"
    said = subprocess.run([script, "--version"], capture_output=True, text=True, check=True)
    assert said.stdout == run("--version").stdout


def test_verbs_are_named_as_in_the_table() -> None:
    assert steer.list_commands(steer.make_context("steer", [])) == list(VERBS)
