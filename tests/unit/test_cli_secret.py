"""steer secret: sealed in place, opened only by those it is for, shown only on purpose."""

import os
import pty
import stat
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

CANARY = "c4n4ry-of-the-shop"
FILE = f"""\
# safe to commit
apiVersion: steersman/v1
kind: Secret
metadata: {{name: shop}}
spec:
  data:
    TOKEN: {{value: {CANARY}}}  # of the bank
    OTHER: {{fromEnv: SHOP_OTHER}}
"""


class Person:
    """Somebody with a folder, a state and so a key of their own."""

    def __init__(self, folder: Path, name: str) -> None:
        self.folder = folder
        self.key = folder / name / "steersman/age.key"
        self.env = {
            **os.environ,
            "XDG_STATE_HOME": str(folder / name),
            "SHOP_OTHER": "other-canary",
        }

    def steer(self, *args: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "steersman.cli", "secret", *args],
            cwd=self.folder,
            env=self.env,
            input=stdin,
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    def must(self, *args: str, stdin: str = "") -> str:
        done = self.steer(*args, stdin=stdin)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def recipient(self) -> str:
        return self.must("keygen").strip()

    def reveals(self, *args: str) -> dict[str, str]:
        said = self.must("reveal", "-f", "shop.yaml", "--piped", *args)
        return dict(line.split("=", 1) for line in said.splitlines())


@pytest.fixture
def me(tmp_path: Path) -> Person:
    (tmp_path / "shop.yaml").write_text(FILE)
    return Person(tmp_path, "me")


@pytest.fixture
def friend(tmp_path: Path) -> Person:
    return Person(tmp_path, "friend")


def spec(person: Person) -> dict[str, object]:
    found: dict[str, object] = yaml.safe_load((person.folder / "shop.yaml").read_text())["spec"]
    return found


def test_keygen_makes_one_key_and_keeps_it(me: Person) -> None:
    first = me.steer("keygen")
    assert first.stdout.startswith("age1") and str(me.key) in first.stderr
    assert stat.S_IMODE(me.key.stat().st_mode) == 0o600
    assert stat.S_IMODE(me.key.parent.stat().st_mode) == 0o700
    again = me.steer("keygen")
    assert (again.stdout, again.stderr) == (first.stdout, "")
    assert "AGE-SECRET" not in first.stdout + first.stderr


def test_seal_changes_the_values_and_nothing_else(me: Person) -> None:
    (me.folder / "shop.yaml").chmod(0o640)
    said = me.must("seal", "-f", "shop.yaml")
    assert "sealed TOKEN" in said and me.recipient() in said
    text = (me.folder / "shop.yaml").read_text()
    assert CANARY not in text
    assert text.startswith("# safe to commit\n") and "  # of the bank\n" in text
    assert "    OTHER: {fromEnv: SHOP_OTHER}\n" in text
    assert stat.S_IMODE((me.folder / "shop.yaml").stat().st_mode) == 0o640
    assert me.reveals() == {"TOKEN": CANARY, "OTHER": "other-canary"}
    assert "nothing to seal" in me.must("seal", "-f", "shop.yaml")
    assert (me.folder / "shop.yaml").read_text() == text
    me.must("seal", "-f", "shop.yaml", "--all")
    assert "fromEnv" not in (me.folder / "shop.yaml").read_text()
    assert me.reveals() == {"TOKEN": CANARY, "OTHER": "other-canary"}
    assert sorted(each.name for each in me.folder.iterdir()) == ["me", "shop.yaml"]


def test_only_recipients_can_open_and_rotate_changes_who_they_are(
    me: Person, friend: Person
) -> None:
    me.must("seal", "-f", "shop.yaml")
    assert "none of the keys here" in locked(friend)
    refused = me.steer("seal", "-f", "shop.yaml", "-r", friend.recipient())
    assert refused.returncode == 1 and "steer secret rotate" in refused.stderr
    me.must("rotate", "-f", "shop.yaml", "-r", friend.recipient())
    assert me.reveals()["TOKEN"] == friend.reveals()["TOKEN"] == CANARY
    assert spec(me)["recipients"] == [me.recipient(), friend.recipient()]
    friend.must("rotate", "-f", "shop.yaml", "--without", me.recipient())
    assert friend.reveals()["TOKEN"] == CANARY
    assert "none of the keys here" in locked(me)
    alone = friend.steer("rotate", "-f", "shop.yaml", "--without", friend.recipient())
    assert alone.returncode == 1 and "nobody could open it" in alone.stderr
    assert friend.reveals()["TOKEN"] == CANARY


def locked(person: Person) -> str:
    person.must("keygen")
    done = person.steer("reveal", "-f", "shop.yaml", "--piped")
    assert done.returncode == 1 and CANARY not in done.stdout + done.stderr
    return done.stderr


def test_a_new_key_takes_the_old_ones_place(me: Person) -> None:
    me.must("seal", "-f", "shop.yaml")
    old, was = me.recipient(), me.key.read_text()
    me.must("rotate", "-f", "shop.yaml", "--new-key")
    assert me.recipient() != old
    assert spec(me)["recipients"] == [me.recipient()]
    assert me.key.read_text().endswith(was)
    me.key.write_text(me.key.read_text().removesuffix(was))
    assert me.reveals()["TOKEN"] == CANARY
    me.key.write_text(was)
    assert "none of the keys here" in locked(me)


def test_a_value_is_changed_and_added_from_standard_input(me: Person) -> None:
    me.must("seal", "-f", "shop.yaml")
    me.must(
        "rotate", "-f", "shop.yaml", "--set", "TOKEN", "--set", "NEW", stdin="new-t0ken\nnew-n3w\n"
    )
    assert me.reveals() == {"TOKEN": "new-t0ken", "NEW": "new-n3w", "OTHER": "other-canary"}
    me.must("seal", "-f", "shop.yaml", "--set", "NEW", stdin="newer-n3w\n")
    assert me.must("reveal", "-f", "shop.yaml", "--piped", "NEW") == "newer-n3w\n"
    text = (me.folder / "shop.yaml").read_text()
    for stdin, why in (("", "no line for NEW"), ("tiny\n", "fewer than 6 bytes")):
        refused = me.steer("rotate", "-f", "shop.yaml", "--set", "NEW", stdin=stdin)
        assert refused.returncode == 1 and why in refused.stderr
        assert "tiny" not in refused.stderr
    assert (me.folder / "shop.yaml").read_text() == text


def test_an_ssh_key_seals_and_opens(me: Person) -> None:
    key = me.folder / "id_ed25519"
    subprocess.run(
        ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "me@x", "-f", key], check=True
    )
    me.must("seal", "-f", "shop.yaml", "-r", key.with_suffix(".pub").read_text())
    assert me.reveals("-i", str(key))["TOKEN"] == CANARY
    assert "none of the keys here" in locked(me)
    refused = me.steer("rotate", "-f", "shop.yaml", "--new-key", "-i", str(key))
    assert refused.returncode == 1 and "not steersman's to replace" in refused.stderr


def test_reveal_speaks_to_terminals_only(me: Person) -> None:
    refused = me.steer("reveal", "-f", "shop.yaml")
    assert refused.returncode == 1 and "--piped" in refused.stderr
    assert CANARY not in refused.stdout + refused.stderr
    main, side = pty.openpty()
    argv = [sys.executable, "-m", "steersman.cli", "secret", "reveal", "-f", "shop.yaml", "TOKEN"]
    done = subprocess.run(argv, cwd=me.folder, env=me.env, stdout=side, timeout=60, check=False)
    os.close(side)
    assert done.returncode == 0
    assert os.read(main, 1000).decode().strip() == CANARY
    os.close(main)


@pytest.mark.parametrize(
    ("args", "why"),
    [
        (["seal", "-f", "shop.yaml", "-r", "age1nobody"], "is no recipient"),
        (["seal", "-f", "hosts.yaml"], "holds no Secret"),
        (["seal", "-f", "two.yaml", "--set", "A"], "--secret NAME"),
        (["reveal", "secret/shop", "--piped"], "secret shop is not known"),
        (["reveal", "-f", "shop.yaml", "NOPE", "--piped"], "there are OTHER, TOKEN"),
        (["reveal", "--piped", "-f", "shop.yaml", "-i", "shop.yaml"], "chmod 600"),
    ],
)
def test_every_refusal_shows_the_way_out(me: Person, args: list[str], why: str) -> None:
    host = "apiVersion: steersman/v1\nkind: Host\nmetadata: {name: h}\nspec: {address: h}\n"
    (me.folder / "hosts.yaml").write_text(host)
    (me.folder / "two.yaml").write_text(f"{FILE}---\n{FILE.replace('name: shop', 'name: blog')}")
    if "-i" in args:
        me.must("seal", "-f", "shop.yaml")
        (me.folder / "shop.yaml").chmod(0o644)
    done = me.steer(*args, stdin="a-good-value\n")
    assert (done.returncode, done.stdout) == (1, "")
    assert why in done.stderr
    assert "unexpected" not in done.stderr and CANARY not in done.stderr
