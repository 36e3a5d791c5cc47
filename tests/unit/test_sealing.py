"""age: what is sealed opens for its recipients, in its place, and for nobody else."""

import ast
import base64
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import steersman
from steersman.api.secret import Secret
from steersman.sealing.age import BadKey, NotOpened, NotSealable, new_key, open_sealed, parse_key
from steersman.sealing.keyring import Keyring, NoKey
from steersman.sealing.values import open_value, seal_value

MINE = parse_key(new_key())
OTHER = parse_key(new_key())


@given(value=st.text(min_size=1))
def test_what_is_sealed_comes_back_exactly(value: str) -> None:
    sealed = seal_value("shop", "TOKEN", value, [MINE.recipient or ""])
    assert open_value("shop", "TOKEN", sealed, [OTHER, MINE]) == value


def test_a_sealed_value_is_what_a_manifest_may_say() -> None:
    sealed = seal_value("shop", "TOKEN", "hunter2hunter2", [MINE.recipient or ""])
    spec = {"recipients": [MINE.recipient], "data": {"TOKEN": {"sealed": sealed}}}
    made = Secret.model_validate({"metadata": {"name": "shop"}, "spec": spec})
    assert made.spec.data["TOKEN"].sealed == sealed


def test_equal_values_and_equal_lengths_are_not_seen() -> None:
    to = [MINE.recipient or ""]
    one, again, longer = (seal_value("s", "K", v, to) for v in ("hunter2", "hunter2", "hunter2hu"))
    assert one != again
    data = [base64.b64decode(each.removeprefix("age:")) for each in (one, longer)]
    assert {len(open_sealed(each, [MINE])) for each in data} == {64}


@pytest.mark.parametrize(
    ("secret", "key", "why"),
    [("shop", "OTHER", "sealed for TOKEN of secret shop"), ("blog", "TOKEN", "of secret shop")],
)
def test_a_value_does_not_open_elsewhere(secret: str, key: str, why: str) -> None:
    sealed = seal_value("shop", "TOKEN", "hunter2", [MINE.recipient or ""])
    with pytest.raises(NotOpened, match=why):
        open_value(secret, key, sealed, [MINE])


def test_what_was_altered_or_is_for_others_does_not_open() -> None:
    sealed = seal_value("shop", "TOKEN", "hunter2", [OTHER.recipient or ""])
    altered = sealed[:-8] + ("AAAA" if sealed[-8:-4] != "AAAA" else "BBBB") + sealed[-4:]
    for text, keys in (
        (sealed, [MINE]),
        (altered, [OTHER]),
        ("age:%%", [OTHER]),
        ("age:", [OTHER]),
    ):
        with pytest.raises(NotOpened, match="; "):
            open_value("shop", "TOKEN", text, keys)


@pytest.mark.parametrize("recipient", ["", "age1", "age1nobody", "ssh-ed25519 AAAA", "ssh-dss x"])
def test_a_recipient_that_is_none_is_refused(recipient: str) -> None:
    with pytest.raises(NotSealable, match="is no recipient; write"):
        seal_value("shop", "TOKEN", "hunter2", [recipient])
    with pytest.raises(NotSealable, match="no recipient to seal to"):
        seal_value("shop", "TOKEN", "hunter2", [])


def test_the_key_file_is_private_and_made_once(tmp_path: Path) -> None:
    path = tmp_path / "deep/age.key"
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda _: Keyring(path).make(), range(8)))
    assert made.count(True) == 1
    assert [each.name for each in path.parent.iterdir()] == ["age.key"]
    assert (path.stat().st_mode & 0o777, path.parent.stat().st_mode & 0o777) == (0o600, 0o700)
    assert Keyring(path).recipient() == Keyring(path).recipient()
    assert "AGE-SECRET" not in repr(Keyring(path).keys())


def test_a_renewed_key_comes_first_and_the_old_one_still_opens(tmp_path: Path) -> None:
    keys = Keyring(tmp_path / "age.key")
    keys.make()
    old = keys.recipient()
    sealed = seal_value("shop", "TOKEN", "hunter2", [old])
    assert keys.renew() == keys.recipient() != old
    assert keys.recipients() == [keys.recipient(), old]
    assert open_value("shop", "TOKEN", sealed, keys.keys()) == "hunter2"
    assert (keys.path.stat().st_mode & 0o777) == 0o600


def test_a_key_file_that_others_may_read_or_that_holds_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "age.key"
    with pytest.raises(NoKey, match="steer secret keygen"):
        Keyring(path).keys()
    Keyring(path).make()
    path.chmod(0o640)
    with pytest.raises(BadKey, match=f"chmod 600 {path}"):
        Keyring(path).keys()
    path.chmod(0o600)
    for text, why in (
        ("# empty\n", "holds no line"),
        ("AGE-SECRET-KEY-1X\n", "neither an age key"),
    ):
        path.write_text(text)
        with pytest.raises(BadKey, match=why) as caught:
            Keyring(path).keys()
        assert "KEY-1X" not in str(caught.value)
    (tmp_path / "folder").mkdir(mode=0o700)
    with pytest.raises(BadKey, match="not a regular file"):
        Keyring(tmp_path / "folder").keys()


def test_an_ssh_key_with_a_passphrase_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "id"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "secret", "-f", path], check=True)
    with pytest.raises(BadKey, match="without a passphrase"):
        Keyring(path).keys()


def test_one_module_imports_pyrage() -> None:
    root = Path(steersman.__file__).parent
    found = {
        str(path.relative_to(root))
        for path in root.rglob("*.py")
        for node in ast.walk(ast.parse(path.read_text()))
        if (isinstance(node, ast.Import) and any(n.name == "pyrage" for n in node.names))
        or (isinstance(node, ast.ImportFrom) and node.module == "pyrage")
    }
    assert found == {"sealing/age.py"}
