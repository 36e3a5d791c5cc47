"""The values of Secrets: from the manifest, a file in its folder, or a variable."""

from pathlib import Path

import pytest

from steersman.api.secret import Secret
from steersman.manifests import SecretUnresolved, resolve


def secret(**data):
    return Secret.model_validate({"metadata": {"name": "shop"}, "spec": {"data": data}})


def reasons(wanted: Secret, environ, base_dir: Path) -> dict[str, str]:
    with pytest.raises(SecretUnresolved) as caught:
        resolve(wanted, environ, base_dir)
    assert "hunter2" not in str(caught.value)
    return caught.value.faults


def test_each_source_gives_its_value(tmp_path):
    (tmp_path / "keys").mkdir()
    (tmp_path / "keys/a").write_bytes(b"hunter2-file\r\n")
    (tmp_path / "link").symlink_to("keys/a")
    wanted = secret(
        A={"value": "hunter2-value"},
        B={"fromFile": "keys/a"},
        C={"fromFile": "link"},
        D={"fromEnv": "SHOP_D"},
        E={"stored": "hmac:1"},
    )
    values = resolve(wanted, {"SHOP_D": "hunter2-env"}, tmp_path)
    assert {key: value.reveal() for key, value in values.items()} == {
        "A": "hunter2-value",
        "B": "hunter2-file",
        "C": "hunter2-file",
        "D": "hunter2-env",
    }


def test_everything_that_is_missing_is_told_at_once(tmp_path):
    (tmp_path / "lines").write_text("hunter2\nhunter2\n")
    (tmp_path / "bytes").write_bytes(b"hunter2\xff")
    (tmp_path / "long").write_text("hunter2" * 10_000)
    (tmp_path / "folder").mkdir()
    wanted = secret(
        MISSING={"fromEnv": "NONE"},
        SHORT={"fromEnv": "SHORT"},
        GONE={"fromFile": "none"},
        LINES={"fromFile": "lines"},
        BYTES={"fromFile": "bytes"},
        LONG={"fromFile": "long"},
        FOLDER={"fromFile": "folder"},
    )
    faults = reasons(wanted, {"SHORT": "hunt"}, tmp_path)
    assert list(faults) == ["MISSING", "SHORT", "GONE", "LINES", "BYTES", "LONG", "FOLDER"]
    assert "NONE" in faults["MISSING"]
    assert "base64" in faults["LINES"]


def test_a_link_out_of_the_folder_is_not_followed(tmp_path):
    (tmp_path / "outside").write_text("hunter2hunter2")
    inside = tmp_path / "inside"
    inside.mkdir()
    (inside / "link").symlink_to("../outside")
    faults = reasons(secret(A={"fromFile": "link"}), {}, inside)
    assert "a link out of" in faults["A"]


def test_bytes_that_are_no_text_do_not_stay_in_the_chain_of_errors(tmp_path):
    (tmp_path / "bytes").write_bytes(b"hunter2\xff")
    with pytest.raises(SecretUnresolved) as caught:
        resolve(secret(A={"fromFile": "bytes"}), {}, tmp_path)
    assert caught.value.__cause__ is None
