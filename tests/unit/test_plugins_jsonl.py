"""jsonl keeps the laws of plugins over a real file, and turns it over at its size."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from steersman.api.plugging import Plugin, PluginError
from steersman.testing.plugin_laws import PluginLaws, Server
from steersman.testing.signals import WHEN, signal
from steersman_plugins.jsonl import Jsonl


class Folder(Server):
    """A folder with the file; where the folder is not, nothing can be written."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.config: Mapping[str, Any] = {"path": str(folder / "out.jsonl"), "sync": True}
        folder.mkdir()

    async def received(self) -> str:
        lines = (self.folder / "out.jsonl").read_text().splitlines()
        return json.dumps([json.loads(line) for line in lines])

    async def refuse(self, is_refusing: bool) -> None:
        away = self.folder.with_suffix(".away")
        self.folder.rename(away) if is_refusing else away.rename(self.folder)


class TestJsonl(PluginLaws):
    @pytest.fixture
    def plugin_class(self) -> type[Plugin]:
        return Jsonl

    @pytest.fixture
    def server(self, tmp_path: Path) -> Server:
        return Folder(tmp_path / "logs")


async def test_a_full_file_turns_over(tmp_path: Path) -> None:
    path = tmp_path / "out"
    plugin = Jsonl("j", Jsonl.Config(path=str(path), size=600, keep=2))
    for number in range(12):
        await plugin.ship([signal("events", number)])
    names = sorted(each.name for each in tmp_path.iterdir())
    assert [name for name in names if name != "out"] == ["out.1", "out.2"]
    text = "".join((tmp_path / name).read_text() for name in reversed(names))
    numbers = [json.loads(line)["time"] for line in text.splitlines()]
    assert numbers == [WHEN + number for number in range(12)][-len(numbers) :]
    assert 4 <= len(numbers) < 12


async def test_half_a_batch_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    path = tmp_path / "out"
    plugin = Jsonl("j", Jsonl.Config(path=str(path)))
    await plugin.ship([signal("logs", 1)])
    before, write = path.read_bytes(), os.write
    room = [10]

    def short(fd: int, data: bytes) -> int:
        if not room:
            raise OSError(28, "No space left on device")
        return write(fd, data[: room.pop()])

    monkeypatch.setattr(os, "write", short)
    with pytest.raises(PluginError, match="No space left"):
        await plugin.ship([signal("logs", 2)])
    assert path.read_bytes() == before


def test_a_relative_path_is_refused() -> None:
    with pytest.raises(ValueError, match="absolute path"):
        Jsonl.Config(path="out.jsonl")
