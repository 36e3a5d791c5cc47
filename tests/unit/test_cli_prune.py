"""apply --prune deletes what the same set had before, and nothing else."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from steersman.cli.app import run
from steersman.planning.inventory import PRUNE
from steersman.store.sqlite import SqliteStore

Steer = Callable[..., tuple[str, str]]


def host(name: str, **annotations: str) -> dict[str, Any]:
    metadata = {"name": name, "labels": {"tier": "front"}, "annotations": annotations}
    spec = {"address": "192.0.2.1"}
    return {"apiVersion": "steersman/v1", "kind": "Host", "metadata": metadata, "spec": spec}


def secret(name: str) -> dict[str, Any]:
    spec = {"data": {"TOKEN": {"fromEnv": "TOKEN"}}}
    metadata = {"name": name}
    return {"apiVersion": "steersman/v1", "kind": "Secret", "metadata": metadata, "spec": spec}


@pytest.fixture
def steer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Steer:
    """Return what applies documents, and returns what it said."""
    monkeypatch.setenv("TOKEN", "a-long-value")

    def apply(*args: str, docs: list[dict[str, Any]], code: int = 0) -> tuple[str, str]:
        (tmp_path / "set.yaml").write_text(yaml.safe_dump_all(docs))
        state = ["--state-dir", str(tmp_path / "state")]
        assert run(["apply", "-f", str(tmp_path / "set.yaml"), *state, *args]) == code
        return capsys.readouterr()

    return apply


async def stored(tmp_path: Path) -> list[str]:
    async with SqliteStore(tmp_path / "state") as store:
        kinds = ("Host", "Secret", "App")
        return [f"{kind}/{o.name}" for kind in kinds for o in await store.list(kind)]


SET = ("--prune", "--inventory", "team")


def test_what_left_the_set_is_deleted_and_the_rest_of_the_world_is_not(
    steer: Steer, tmp_path: Path
) -> None:
    steer(docs=[host("stranger")])
    steer("--inventory", "others", docs=[host("theirs")])
    out, _ = steer(*SET, docs=[host("h1"), host("h2"), secret("key")])
    assert "deleted" not in out
    dry, _ = steer(*SET, "--dry-run", docs=[host("h1")])
    assert [line for line in dry.splitlines() if "pruned" in line] == [
        "secret/key pruned (dry run)",
        "host/h2 pruned (dry run)",
    ]
    out, err = steer(*SET, docs=[host("h1"), secret("key")], code=1)
    assert "host h2" in err and "host/h2 --cascade=orphan" in err, "it cannot be reached"
    assert asyncio.run(stored(tmp_path)) == [
        "Host/h1", "Host/h2", "Host/stranger", "Host/theirs", "Secret/key"
    ]  # fmt: skip
    out, err = steer(*SET, docs=[host("h1"), host("h2")])
    assert (out.splitlines()[-1], err) == ("secret/key deleted", "")


def test_plain_applies_take_nothing_out_of_the_set(steer: Steer) -> None:
    steer(*SET, docs=[host("h1"), secret("key")])
    steer(docs=[host("h1"), secret("key")])
    out, _ = steer(*SET, docs=[host("h1")])
    assert "secret/key deleted" in out


def test_protection_is_told(steer: Steer) -> None:
    steer(*SET, docs=[secret("key"), host("h1", **{PRUNE: "false"})])
    out, err = steer(*SET, docs=[secret("key")])
    assert "deleted" not in out
    assert err.startswith(f"warning: host/h1 was not pruned: its annotation {PRUNE}")


def test_labels_are_a_set_of_their_own(steer: Steer) -> None:
    docs = [host("h1"), secret("key")]
    out, _ = steer("--prune", "-l", "tier=front", docs=docs)
    assert out == "host/h1 created\n"
    # It lost its label, but the manifests still have it.
    other = host("h1")
    other["metadata"]["labels"] = {}
    _, err = steer("--prune", "-l", "tier=front", docs=[host("h2"), other, secret("key")])
    assert err == ""
    assert "no object of the manifests" in steer("-l", "tier=back", docs=docs, code=1)[1]
    assert "--inventory NAME" in steer("--prune", docs=docs, code=2)[1]
    assert "printable" in steer("--inventory", "a\nb", docs=docs, code=2)[1]
