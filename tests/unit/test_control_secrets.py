"""The values of Secrets: from the manifest, sealed, a file, a variable or a command."""

import asyncio
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from steersman.api.secret import Secret
from steersman.control.secrets import PUSHED, SecretReader, SecretUnresolved
from steersman.manifests import Sourced, load
from steersman.sealing.age import new_key, parse_key
from steersman.sealing.keyring import Keyring
from steersman.sealing.values import seal_value

SCRIPT = "import sys; sys.stdout.write({!r}); sys.stderr.write('hunter2-stderr'); sys.exit({})"


@pytest.fixture
def keys(tmp_path: Path) -> Keyring:
    keyring = Keyring(tmp_path / "keys/age.key")
    assert keyring.make()
    return keyring


def manifest(folder: Path, **data: object) -> Sourced:
    folder.mkdir(exist_ok=True)
    path = folder / "secret.yaml"
    document = {
        "apiVersion": "steersman/v1",
        "kind": "Secret",
        "metadata": {"name": "shop"},
        "spec": {"data": data},
    }
    path.write_text(yaml.safe_dump(document))
    return load([path]).objects[0]


def is_alive(pid: int) -> bool:
    """Return whether a process runs; one that ended may wait for its parent to notice."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(") ")[2][0] not in "ZX"
    except FileNotFoundError:
        return False


async def ended(pid: int) -> None:
    """Return when a process is gone, which it soon is once it was killed."""
    async with asyncio.timeout(30):
        while is_alive(pid):  # noqa: ASYNC110 - the kernel tells its parent alone
            await asyncio.sleep(0.01)


def prints(text: str, code: int = 0) -> list[str]:
    return [sys.executable, "-c", SCRIPT.format(text, code)]


async def values(reader: SecretReader, sourced: Sourced) -> dict[str, str]:
    (read,) = await reader.read([sourced])
    assert isinstance(read.obj, Secret)
    return read.obj.given()


async def reasons(reader: SecretReader, sourced: Sourced) -> dict[str, str]:
    with pytest.raises(SecretUnresolved) as caught:
        await reader.read([sourced])
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None
    return caught.value.faults


async def test_each_source_gives_its_value(tmp_path: Path, keys: Keyring) -> None:
    (tmp_path / "m/keys").mkdir(parents=True)
    (tmp_path / "m/keys/a").write_bytes(b"hunter2-file\r\n")
    (tmp_path / "m/link").symlink_to("keys/a")
    wanted = manifest(
        tmp_path / "m",
        A={"value": "hunter2-value"},
        B={"fromFile": "keys/a"},
        C={"fromFile": "link"},
        D={"fromEnv": "SHOP_D"},
        E={"stored": "hmac:1"},
        F={"sealed": seal_value("shop", "F", "hunter2-sealed", [keys.recipient()])},
        G={"fromExec": prints("hunter2-exec\n")},
    )
    reader = SecretReader(keys, {**os.environ, "SHOP_D": "hunter2-env"})
    assert await values(reader, wanted) == {
        "A": "hunter2-value",
        "B": "hunter2-file",
        "C": "hunter2-file",
        "D": "hunter2-env",
        "F": "hunter2-sealed",
        "G": "hunter2-exec",
    }


async def test_everything_that_is_missing_is_told_at_once(tmp_path: Path, keys: Keyring) -> None:
    folder = tmp_path / "m"
    (folder / "folder").mkdir(parents=True)
    (folder / "lines").write_text("hunter2\nhunter2\n")
    (folder / "bytes").write_bytes(b"hunter2\xff")
    (folder / "long").write_text("hunter2" * 10_000)
    wanted = manifest(
        folder,
        MISSING={"fromEnv": "NONE"},
        SHORT={"fromEnv": "SHORT"},
        GONE={"fromFile": "none"},
        LINES={"fromFile": "lines"},
        BYTES={"fromFile": "bytes"},
        LONG={"fromFile": "long"},
        FOLDER={"fromFile": "folder"},
    )
    faults = await reasons(SecretReader(keys, {"SHORT": "hunt"}), wanted)
    names = ["MISSING", "SHORT", "GONE", "LINES", "BYTES", "LONG", "FOLDER"]
    assert sorted(faults) == sorted(names)
    assert "NONE" in faults["MISSING"]
    assert "base64" in faults["LINES"]


async def test_a_link_out_of_the_folder_is_not_followed(tmp_path: Path, keys: Keyring) -> None:
    (tmp_path / "outside").write_text("hunter2hunter2")
    (tmp_path / "inside").mkdir()
    (tmp_path / "inside/link").symlink_to("../outside")
    wanted = manifest(tmp_path / "inside", A={"fromFile": "link"})
    assert "a link out of" in (await reasons(SecretReader(keys, {}), wanted))["A"]


@pytest.mark.parametrize(
    ("argv", "why"),
    [
        (prints("hunter2-half", 3), "failed with 3"),
        (prints(""), "printed nothing"),
        (prints("hunter2\nhunter2"), "newline"),
        (["yes", "hunter2"], "more than 64 KiB"),
        ([sys.executable, "-c", "import os; os.write(1, b'hunter2\\xff')"], "not text"),
        (["/nonexistent/pass", "hunter2"], "No such file"),
    ],
)
async def test_a_command_that_gives_no_value_is_told_without_its_output(
    tmp_path: Path, keys: Keyring, argv: list[str], why: str
) -> None:
    wanted = manifest(tmp_path / "m", A={"fromExec": argv})
    assert why in (await reasons(SecretReader(keys, os.environ), wanted))["A"]


async def test_a_command_that_hangs_is_ended_with_its_children(
    tmp_path: Path, keys: Keyring
) -> None:
    wanted = manifest(
        tmp_path / "m", A={"fromExec": ["sh", "-c", "sleep 600 & echo $! > pid; wait"]}
    )
    pid = tmp_path / "m/pid"
    # On a busy machine a short patience may be over before the command has a child.
    for patience in (0.5, 5, 50):
        async with asyncio.timeout(patience + 60):
            faults = await reasons(SecretReader(keys, os.environ, patience=patience), wanted)
        assert f"did not end within {patience:g} s" in faults["A"]
        if pid.exists() and pid.read_text():
            break
    await ended(int(pid.read_text()))


async def test_a_command_that_is_given_up_as_it_starts_leaves_no_children_either(
    tmp_path: Path, keys: Keyring, monkeypatch: pytest.MonkeyPatch
) -> None:
    pid = tmp_path / "m/pid"

    class Slow(subprocess.Popen[bytes]):
        """Takes as long to start a child as that needs for one of its own."""

        def __init__(self, *args: Any, **options: Any) -> None:
            super().__init__(*args, **options)
            while not (pid.exists() and pid.read_text()):
                time.sleep(0.01)

    monkeypatch.setattr(subprocess, "Popen", Slow)
    wanted = manifest(
        tmp_path / "m", A={"fromExec": ["sh", "-c", "sleep 600 & echo $! > pid; wait"]}
    )
    async with asyncio.timeout(60):
        faults = await reasons(SecretReader(keys, os.environ, patience=0.001), wanted)
    assert "did not end within 0.001 s" in faults["A"]
    await ended(int(pid.read_text()))


async def test_a_command_that_floods_its_errors_is_ended_too(tmp_path: Path, keys: Keyring) -> None:
    wanted = manifest(tmp_path / "m", A={"fromExec": ["sh", "-c", "exec yes hunter2 >&2"]})
    for _ in range(5):
        reader = SecretReader(keys, os.environ, patience=0.2)
        assert "did not end within 0.2 s" in (await reasons(reader, wanted))["A"]


async def test_no_shell_reads_the_command(tmp_path: Path, keys: Keyring) -> None:
    said = "hunter2 $(id) `id` ; id"
    wanted = manifest(tmp_path / "m", A={"fromExec": ["printf", "%s", said]})
    assert await values(SecretReader(keys, os.environ), wanted) == {"A": said}


async def test_a_manifest_that_others_may_write_runs_nothing(tmp_path: Path, keys: Keyring) -> None:
    command = {"A": {"fromExec": ["touch", "ran"]}}
    reader = SecretReader(keys, os.environ)
    wanted = manifest(tmp_path / "file", **command)
    (tmp_path / "file/secret.yaml").chmod(0o666)
    assert "chmod go-w" in (await reasons(reader, wanted))["A"]
    wanted = manifest(tmp_path / "folder", **command)
    (tmp_path / "folder").chmod(0o777)
    assert "chmod go-w" in (await reasons(reader, wanted))["A"]
    text = (tmp_path / "folder/secret.yaml").read_bytes()
    (piped,) = load(["-"], stdin=text).objects
    assert "standard input" in (await reasons(reader, piped))["A"]
    assert not list(tmp_path.rglob("ran"))


async def test_a_pushed_tree_reads_neither_variables_nor_programs(
    tmp_path: Path, keys: Keyring
) -> None:
    pushed = SecretReader(keys, {**os.environ, "SHOP": "hunter2hunter2"}, allowed=PUSHED)
    wanted = manifest(tmp_path / "m", A={"fromEnv": "SHOP"}, B={"fromExec": ["touch", "ran"]})
    faults = await reasons(pushed, wanted)
    assert "fromEnv in manifests that others can push" in faults["A"]
    assert "fromExec in manifests that others can push" in faults["B"]
    assert not list(tmp_path.rglob("ran"))
    sealed = seal_value("shop", "A", "hunter2-sealed", [keys.recipient()])
    assert await values(pushed, manifest(tmp_path / "m", A={"sealed": sealed})) == {
        "A": "hunter2-sealed"
    }


async def test_a_sealed_value_opens_only_where_it_was_made_for(
    tmp_path: Path, keys: Keyring
) -> None:
    there = seal_value("shop", "PASSWORD", "hunter2hunter2", [keys.recipient()])
    other = seal_value("blog", "A", "hunter2hunter2", [keys.recipient()])
    strange = seal_value("shop", "C", "hunter2hunter2", [parse_key(new_key()).recipient or ""])
    wanted = manifest(
        tmp_path / "m", A={"sealed": there}, B={"sealed": other}, C={"sealed": strange}
    )
    faults = await reasons(SecretReader(keys, {}), wanted)
    assert "sealed for PASSWORD of secret shop" in faults["A"]
    assert "sealed for A of secret blog" in faults["B"]
    assert "none of the keys here opens it" in faults["C"]


async def test_without_a_key_only_what_is_sealed_fails(tmp_path: Path) -> None:
    keys = Keyring(tmp_path / "none")
    wanted = manifest(tmp_path / "m", A={"value": "hunter2hunter2"})
    assert await values(SecretReader(keys, {}), wanted) == {"A": "hunter2hunter2"}
    wanted = manifest(tmp_path / "m", A={"sealed": "age:QUFB"})
    assert "steer secret keygen" in (await reasons(SecretReader(keys, {}), wanted))["A"]
