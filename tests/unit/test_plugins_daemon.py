"""Plugins by a daemon's API: applied, tried, listed and described, and no value is seen."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from laws.daemon import Daemon, in_thread, secret
from steersman.cli.app import run

Steer = Callable[..., tuple[int, str, str]]


@pytest.fixture
def steer(
    tmp_path: Path, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> Steer:
    for name in [each for each in os.environ if each.startswith("STEER_")]:
        monkeypatch.delenv(name)
    for name in ("STATE", "CACHE", "CONFIG"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(tmp_path / name))

    def one(*args: str) -> tuple[int, str, str]:
        capfd.readouterr()
        code = run(args)
        said = capfd.readouterr()
        return code, said.out, said.err

    return one


@pytest.fixture
def served(tmp_path: Path) -> Iterator[Daemon]:
    with in_thread(tmp_path / "STATE" / "steersman") as one:
        yield one


def manifest(folder: Path, *objects: dict[str, Any]) -> str:
    path = folder / "manifest.json"
    path.write_text("\n---\n".join(map(json.dumps, objects)))
    return str(path)


def plugin(name: str, **spec: Any) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "steersman/v1", "kind": "Plugin", "metadata": metadata, "spec": spec}


@pytest.mark.usefixtures("served")
def test_a_plugin_is_tried_by_the_daemon(steer: Steer, tmp_path: Path) -> None:
    out = tmp_path / "c4n4ry.jsonl"
    config = {"path": {"secret": "files", "key": "OUT"}}
    given = (secret("files", OUT=str(out)), plugin("file", type="jsonl", config=config))
    code, said, err = steer("apply", "-f", manifest(tmp_path, *given))
    assert code == 0, err
    assert "plugin/file created" in said
    code, said, err = steer("plugin", "test", "file")
    assert code == 0, err
    assert [line.partition(":")[0] for line in said.splitlines()] == [
        "logs", "errors", "metrics", "events", "traces",
    ]  # fmt: skip
    shipped = [json.loads(line) for line in out.read_text().splitlines()]
    assert [each["signal"] for each in shipped] == ["logs", "errors", "metrics", "events", "traces"]
    listed = steer("plugin", "list")[1]
    row = next(line.split() for line in listed.splitlines() if line.startswith("jsonl"))
    assert row[1:3] == ["errors,events,logs,metrics,traces", "file"]
    described = steer("describe", "plugin/file")[1]
    assert "path=<OUT of secret/files>" in described
    assert "Probed" in described
    seen = "".join(
        steer("get", "plugins", "-o", how)[1] for how in ("wide", "yaml", "json", "name")
    )
    assert "c4n4ry" not in seen + described + listed
    code, _, err = steer("delete", "secret/files")
    assert (code, "is used by plugin file" in err) == (1, True)


@pytest.mark.usefixtures("served")
def test_what_does_not_fit_is_refused_by_the_daemon(steer: Steer, tmp_path: Path) -> None:
    wrong = plugin("file", type="jsonl", config={"path": "relative"})
    code, _, err = steer("apply", "-f", manifest(tmp_path, wrong))
    assert (code, "spec.config.path: allowed: an absolute path" in err) == (1, True)
    code, _, err = steer("plugin", "test", "nothing")
    assert (code, "plugin nothing is not known" in err) == (1, True)
    right = plugin("file", type="jsonl", config={"path": str(tmp_path / "no" / "out")})
    assert steer("apply", "-f", manifest(tmp_path, right))[0] == 0
    code, said, err = steer("plugin", "test", "file")
    assert code == 1
    assert said.count("No such file or directory") == 5
    assert "5 of 5 probes" in err
    code, _, err = steer("patch", "plugin/file", "-p", '{"spec": {"type": "jsonn"}}')
    assert (code, "did you mean jsonl?" in err) == (1, True)
