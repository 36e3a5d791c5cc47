"""A file of Secrets is written when it says what is meant, and else not at all."""

from pathlib import Path

import pytest

from steersman.api.errors import SteersmanError
from steersman.control import secretfile
from steersman.control.secretfile import SecretFile
from steersman.manifests.edits import CannotEdit, with_sealed
from steersman.sealing.age import new_key, parse_key
from steersman.sealing.values import open_value

KEY = parse_key(new_key())
TEXT = """\
apiVersion: steersman/v1
kind: Secret
metadata: {name: shop}
spec:
  data:
    A: {value: hunter2-a}  # first
    B: {value: hunter2-b}
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    made = tmp_path / "shop.yaml"
    made.write_text(TEXT)
    return made


def put(file: SecretFile) -> None:
    file.put("shop", {"A": "hunter2-a"}, [KEY.recipient or ""])


def test_a_mark_at_the_beginning_stays(path: Path) -> None:
    path.write_bytes(b"\xef\xbb\xbf" + TEXT.encode())
    file = SecretFile(path)
    put(file)
    file.save()
    assert path.read_bytes().startswith(b"\xef\xbb\xbfapiVersion")
    (seen,) = SecretFile(path).written()
    assert open_value("shop", "A", seen.spec.data["A"].sealed or "", [KEY]) == "hunter2-a"
    assert seen.spec.recipients == (KEY.recipient,)


def test_a_link_stays_a_link_to_the_changed_file(path: Path) -> None:
    link = path.with_name("link.yaml")
    link.symlink_to(path.name)
    file = SecretFile(link)
    put(file)
    file.save()
    assert link.is_symlink() and "sealed" in path.read_text()


@pytest.mark.parametrize(
    "edit",
    [
        lambda text, secret, key, sealed: text,
        lambda text, secret, key, sealed: with_sealed(text, secret, "B", sealed),
        lambda text, *rest: with_sealed(text, *rest).replace("hunter2-b", "hunter2-c"),
    ],
)
def test_an_edit_that_went_wrong_is_not_written(
    path: Path, monkeypatch: pytest.MonkeyPatch, edit: object
) -> None:
    monkeypatch.setattr(secretfile, "with_sealed", edit)
    file = SecretFile(path)
    put(file)
    with pytest.raises(CannotEdit, match="on a line of its own"):
        file.save()
    assert path.read_text() == TEXT
    assert list(path.parent.iterdir()) == [path]


def test_which_secret_is_meant_must_be_clear(path: Path) -> None:
    assert SecretFile(path).named(None).obj.name == "shop"
    path.write_text(f"{TEXT}---\n{TEXT.replace('name: shop', 'name: blog')}")
    assert SecretFile(path).named("blog").obj.name == "blog"
    for name in (None, "shed"):
        with pytest.raises(SteersmanError, match="--secret NAME"):
            SecretFile(path).named(name)
