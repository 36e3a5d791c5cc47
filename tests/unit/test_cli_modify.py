"""label, annotate, patch and edit change what is remembered, in kubectl's words."""

from __future__ import annotations

import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from steersman.cli.app import run
from steersman.cli.edit import patch_between
from steersman.server.patches import merged
from steersman.store.sqlite import SqliteStore

Steer = Callable[..., tuple[str, str]]
CANARY = "c4n4ry-Zx9!"


def host(name: str, **labels: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": labels}
    spec = {"address": "192.0.2.1"}
    return {"apiVersion": "steersman/v1", "kind": "Host", "metadata": metadata, "spec": spec}


@pytest.fixture
def steer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Steer:
    """Return what runs steer in a state of its own, and returns what it said."""
    monkeypatch.setenv("TOKEN", CANARY)

    def ran(*args: str, code: int = 0) -> tuple[str, str]:
        assert run([*args, "--state-dir", str(tmp_path / "state")]) == code
        out, err = capsys.readouterr()
        assert CANARY not in out + err
        return out, err

    apply(ran, tmp_path, host("h1", role="web"), host("h2"))
    return ran


def apply(steer: Steer, folder: Path, *docs: dict[str, Any]) -> str:
    (folder / "set.yaml").write_text(yaml.safe_dump_all(docs))
    return steer("apply", "-f", str(folder / "set.yaml"))[0]


def said(steer: Steer, what: str) -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(steer("get", what, "-o", "yaml")[0])
    return found


def labels(steer: Steer, what: str = "host/h1") -> dict[str, str]:
    found: dict[str, str] = said(steer, what)["metadata"]["labels"]
    return found


def test_labels_are_set_replaced_and_removed(steer: Steer) -> None:
    assert steer("label", "host/h1", "zone=a", "rack=") == ("host/h1 labeled\n", "")
    assert labels(steer) == {"role": "web", "zone": "a", "rack": ""}
    assert steer("label", "host", "h1", "h2", "zone=a")[0] == (
        "host/h2 labeled\nhost/h1 not labeled\n"
    )
    _, err = steer("label", "host/h1", "zone=b", code=1)
    assert "'zone' already has a value (a), and --overwrite is not given" in err
    assert steer("label", "host/h1", "zone=b", "--overwrite")[0] == "host/h1 labeled\n"
    assert steer("label", "hosts", "-l", "role=web", "zone-", "rack-")[0] == "host/h1 unlabeled\n"
    assert labels(steer) == {"role": "web"}
    assert steer("label", "hosts", "--all", "x=y", "--dry-run")[0] == (
        "host/h1 labeled (dry run)\nhost/h2 labeled (dry run)\n"
    )
    assert labels(steer) == {"role": "web"}
    assert steer("label", "host/h1", "--list")[0] == "role=web\n"


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        (["host/h1"], 2, "KEY=VALUE"),
        (["role=web"], 2, "name objects"),
        (["host", "role=web"], 2, "--all"),
        (["host/h1", "--all", "role=web"], 2, "name them, or choose"),
        (["host/h1", "a=b", "a-"], 2, "named twice"),
        (["host/h1", "-bad-=x"], 2, "-bad-"),
        (["host/h1", "a=b c"], 2, "allowed"),
        (["release/shop-1", "a=b"], 2, "controller alone"),
        (["host/h9", "a=b"], 1, "steer get host"),
    ],
)
def test_what_cannot_be_labelled(steer: Steer, args: list[str], code: int, why: str) -> None:
    _, err = steer("label", "--", *args, code=code) if args[-1][0] == "-" else steer(
        "label", *args, code=code
    )  # fmt: skip
    assert why in err


def test_a_manifest_keeps_what_it_does_not_name(steer: Steer, tmp_path: Path) -> None:
    steer("label", "host/h1", "zone=a", "role=db", "--overwrite")
    steer("annotate", "host/h1", "owner=the shop team")
    assert "unchanged" in apply(steer, tmp_path, host("h1", role="db"))
    assert labels(steer) == {"role": "db", "zone": "a"}
    # What it names is its own, and goes when it is named no more.
    assert "configured" in apply(steer, tmp_path, host("h1", role="web", rack="3"))
    assert labels(steer) == {"role": "web", "zone": "a", "rack": "3"}
    apply(steer, tmp_path, host("h1"))
    assert labels(steer) == {"zone": "a"}
    assert said(steer, "host/h1")["metadata"]["annotations"] == {"owner": "the shop team"}
    steer("label", "host/h1", "zone-")
    assert "configured" in apply(steer, tmp_path, host("h1", zone="a"))


def test_annotations_may_say_anything(steer: Steer) -> None:
    assert steer("annotate", "host/h1", "why=it is = old")[0] == "host/h1 annotated\n"
    assert steer("annotate", "host/h1", "--list")[0] == "why=it is = old\n"
    assert steer("annotate", "host/h1", "why-")[0] == "host/h1 annotated\n"
    assert steer("annotate", "host/h1", "--list")[0] == ""


def test_a_secrets_labels_are_no_new_values(steer: Steer, tmp_path: Path) -> None:
    doc = {
        "apiVersion": "steersman/v1",
        "kind": "Secret",
        "metadata": {"name": "key"},
        "spec": {"data": {"TOKEN": {"fromEnv": "TOKEN"}}},
    }
    apply(steer, tmp_path, doc)
    before = said(steer, "secret/key")["status"]["version"]
    steer("label", "secret/key", "tier=front")
    assert said(steer, "secret/key")["status"]["version"] == before
    assert "unchanged" in apply(steer, tmp_path, doc)
    assert labels(steer, "secret/key") == {"tier": "front"}
    patched = '{"spec": {"data": {"OTHER": {"value": "another-value"}}}}'
    assert steer("patch", "secret/key", "-p", patched)[0] == "secret/key patched\n"
    assert set(said(steer, "secret/key")["spec"]["data"]) == {"TOKEN", "OTHER"}
    assert "another-value" not in steer("get", "secret/key", "-o", "yaml")[0]


def test_patches_of_both_kinds(steer: Steer, tmp_path: Path) -> None:
    assert steer("patch", "host/h1", "-p", "spec: {user: deploy}")[0] == "host/h1 patched\n"
    assert said(steer, "host/h1")["spec"]["user"] == "deploy"
    again = steer("patch", "host", "h1", "-p", '{"spec":{"user":"deploy"}}')[0]
    assert again == "host/h1 patched (no change)\n"
    (tmp_path / "p.json").write_text('[{"op": "remove", "path": "/spec/user"}]')
    file = str(tmp_path / "p.json")
    dry = steer("patch", "host/h1", "--type=json", "--patch-file", file, "--dry-run")[0]
    assert dry == "host/h1 patched (dry run)\n"
    steer("patch", "host/h1", "--type=json", "--patch-file", file)
    assert "user" not in said(steer, "host/h1")["spec"]
    managers = yaml.safe_load(steer("get", "host/h1", "-o", "yaml", "--show-managed-fields")[0])
    assert {each["manager"] for each in managers["metadata"]["managedFields"]} >= {"steer-apply"}
    assert "managedFields" not in said(steer, "host/h1")["metadata"]


@pytest.mark.parametrize(
    ("args", "code", "why"),
    [
        ([], 2, "-p PATCH"),
        (["-p", "{", "--patch-file", "x"], 2, "or by --patch-file"),
        (["-p", "spec: {"], 1, "broken YAML"),
        (["-p", ""], 1, "says nothing"),
        (["-p", "- a"], 1, "none; patch fields"),
        (["-p", "spec: {usr: x}"], 1, 'the unknown key "usr"'),
        (["-p", "metadata: {name: h9}"], 1, "cannot be changed"),
        (["-p", "spec: {port: 0}"], 1, "would not be valid"),
        (["--type=json", "-p", '[{"op":"test","path":"/spec/address","value":"x"}]'], 1, "test"),
        (["--patch-file", "/nonexistent"], 1, "No such file"),
    ],
)
def test_patches_that_do_not_fit(steer: Steer, args: list[str], code: int, why: str) -> None:
    before = said(steer, "host/h1")
    _, err = steer("patch", "host/h1", *args, code=code)
    assert why in err
    assert said(steer, "host/h1") == before


@pytest.fixture
def editor(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Return what makes an editor that runs one shell command after the other on its file."""
    seen = tmp_path / "seen"
    seen.mkdir()

    def make(*steps: str) -> Path:
        for number, step in enumerate(steps, 1):
            (tmp_path / f"step{number}").write_text(step)
        program = tmp_path / "editor"
        program.write_text(
            f'#!/bin/sh\nn=$(($(ls {seen} | wc -l) + 1))\ncp "$2" {seen}/$n\n. {tmp_path}/step$n\n'
        )
        program.chmod(0o755)
        monkeypatch.setenv("VISUAL", "false")
        monkeypatch.setenv("STEER_EDITOR", f"'{program}' --wait")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", None)
        return seen

    return make


def test_an_edit_is_saved(steer: Steer, editor: Callable[..., Path], tmp_path: Path) -> None:
    seen = editor('stat -c %a "$(dirname "$2")" > ' + str(tmp_path / "mode")
                  + '; sed -i "s/role: web/role: db/" "$2"')  # fmt: skip
    assert steer("edit", "host/h1") == ("host/h1 edited\n", "")
    assert labels(steer) == {"role": "db"}
    shown = (seen / "1").read_text()
    assert shown.startswith("# Please edit the object below.")
    assert "uid" not in shown and "status" not in shown
    assert (tmp_path / "mode").read_text() == "700\n"
    assert not list(tmp_path.glob("steer-edit-*"))


@pytest.mark.parametrize(
    ("step", "said_"),
    [
        (":", "Edit cancelled, no changes made.\n"),
        ('echo "# thought better of it" >> "$2"', "Edit cancelled, no changes made.\n"),
        (': > "$2"', "Edit cancelled, saved file was empty.\n"),
    ],
)
def test_an_edit_of_nothing(
    steer: Steer, editor: Callable[..., Path], step: str, said_: str
) -> None:
    editor(step)
    assert steer("edit", "host", "h1") == (said_, "")


def test_what_cannot_be_saved_is_opened_again_with_the_reason(
    steer: Steer, editor: Callable[..., Path]
) -> None:
    seen = editor(
        'sed -i "s/port: 22/port: zwei/; s/address:.*/adress: x/" "$2"',
        'sed -i "s/adress: x/address: 192.0.2.7/" "$2"; echo "broken: [" >> "$2"',
        'sed -i "s/^broken.*//; s/port: zwei/port: 23/" "$2"',
    )
    steer("edit", "host/h1")
    again = (seen / "2").read_text().splitlines()
    assert "  adress: x" in again, "what was typed is lost"
    line = again.index("  port: zwei") + 1
    assert any(f"# * line {line}: spec.port" in said_ for said_ in again)
    assert said(steer, "host/h1")["spec"] | {"port": 23} == said(steer, "host/h1")["spec"]
    assert said(steer, "host/h1")["spec"]["address"] == "192.0.2.7"


def test_giving_up_keeps_a_copy(steer: Steer, editor: Callable[..., Path], tmp_path: Path) -> None:
    editor('sed -i "s/name: h1/name: h7/" "$2"', ":")
    _, err = steer("edit", "host/h1", code=1)
    assert "cannot be changed" in err and "no valid changes were saved" in err
    (copy,) = tmp_path.glob("steer-edit-*/host-h1.yaml")
    assert str(copy) in err and "name: h7" in copy.read_text()
    assert stat.S_IMODE(copy.parent.stat().st_mode) == 0o700


@pytest.mark.parametrize(("program", "why"), [("false", "ended with 1"), ("/none", "No such"),
                                              ("'", "cannot be run")])  # fmt: skip
def test_an_editor_that_fails_changes_nothing(
    steer: Steer, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, program: str, why: str
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    monkeypatch.setenv("STEER_EDITOR", program)
    _, err = steer("edit", "host/h1", code=1)
    assert why in err and "$STEER_EDITOR" in err


def test_what_others_change_meanwhile_stays(
    steer: Steer, editor: Callable[..., Path], tmp_path: Path
) -> None:
    import sys

    state = tmp_path / "state"
    editor(
        f"{sys.executable} -m steersman.cli label host/h1 zone=a --state-dir {state}\n"
        'sed -i "s/role: web/role: db/" "$2"'
    )
    out, _ = steer("edit", "host/h1")
    assert out.endswith("host/h1 edited\n")
    assert labels(steer) == {"role": "db", "zone": "a"}


async def conflicting(state: Path) -> None:
    async with SqliteStore(state) as store:
        stored = await store.get("Host", "h1")
        assert stored is not None
        await store.put_status("Host", "h1", {"facts": {"python": "3.11"}})


def test_a_status_that_changes_meanwhile_is_no_conflict(
    steer: Steer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from steersman.control.editing import Editing

    original = Editing.put
    calls: list[tuple[Any, ...]] = []

    async def put(self: Editing, *args: Any, **kwargs: Any) -> Any:
        if not calls:
            await conflicting(tmp_path / "state")
        calls.append(args)
        return await original(self, *args, **kwargs)

    monkeypatch.setattr(Editing, "put", put)
    assert steer("label", "host/h1", "zone=a")[0] == "host/h1 labeled\n"
    assert len(calls) == 2
    assert labels(steer)["zone"] == "a"


LEAVES = st.integers(0, 2) | st.booleans() | st.lists(st.integers(0, 2), max_size=2)
INNER = st.dictionaries(st.sampled_from("ab"), LEAVES, max_size=2)
DOCUMENTS = st.dictionaries(st.sampled_from("abc"), LEAVES | INNER, max_size=3)


@given(DOCUMENTS, DOCUMENTS)
def test_a_patch_makes_one_document_of_another(old: dict[str, Any], new: dict[str, Any]) -> None:
    assert merged(old, patch_between(old, new)) == new
    assert patch_between(new, new) == {}
