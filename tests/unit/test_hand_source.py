"""Source is read where an app was released, and nowhere else."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from steersman.hand import source
from steersman.hand.place import Place, place_from


@pytest.fixture
def place(tmp_path: Path) -> Place:
    names = ("run", "units", "sites", "tmpfiles", "supervisor", "proxy", "scope")
    made = place_from({"root": str(tmp_path / "root"), **dict.fromkeys(names, "")})
    for app in ("shop", "other"):
        src = Path(made.app(app, "builds", "b1", "src"))
        src.mkdir(parents=True)
        (src / "app.py").write_text("".join(f"line {n}\n" for n in range(1, 41)))
        release = Path(made.app(app, "releases", "3-abc"))
        release.mkdir(parents=True)
        (release / "src").symlink_to("../../builds/b1/src")
    return made


def one(place: Place, path: str, line: int, app: str = "shop") -> object:
    return source.around(place, app, [[path, line]])[0]


def test_lines_around_a_place(place: Place) -> None:
    for folder in (("builds", "b1"), ("releases", "3-abc")):
        path = place.app("shop", *folder, "src", "app.py")
        assert one(place, path, 20) == [15, [f"line {n}" for n in range(15, 26)]]
        assert one(place, path, 2) == [1, [f"line {n}" for n in range(1, 8)]]
        assert one(place, path, 40) == [35, [f"line {n}" for n in range(35, 41)]]
        assert one(place, path, 99) == [0, []]
        assert one(place, path, -3) == [0, []]


def test_nothing_else_is_read(place: Place, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("no\n" * 50)
    src = Path(place.app("shop", "builds", "b1", "src"))
    (src / "out.py").symlink_to(secret)
    (src / "up").symlink_to(tmp_path)
    (src / "mate.py").symlink_to(place.app("other", "builds", "b1", "src", "app.py"))
    os.mkfifo(src / "pipe.py")
    env = Path(place.app("shop", "env"))
    env.mkdir()
    (env / "7").write_text("KEY=no\n" * 9)
    other = Path(place.app("shop", "builds", "b1", "venv", "x.py"))
    other.parent.mkdir()
    other.write_text("no\n" * 9)
    paths = [
        str(other),
        str(secret),
        str(src / "out.py"),
        str(src / "up" / "secret"),
        str(src / "mate.py"),
        str(src / "pipe.py"),
        str(src),
        str(src / "none.py"),
        str(src / "app.py\0"),
        f"{src}/../../../../../../secret",
        str(env / "7"),
        place.app("other", "builds", "b1", "src", "app.py"),
        "app.py",
        "",
    ]
    for path in paths:
        assert one(place, path, 2) == [0, []], path
    whole = str(src / "app.py")
    for app in ("..", "", ".", "shop/builds", "../apps/shop"):
        assert one(place, whole, 2, app) == [0, []], app


def test_what_is_read_is_bounded(place: Place) -> None:
    long = Path(place.app("shop", "builds", "b1", "src", "long.py"))
    long.write_text("x" * 5_000_000)
    ((_, (line,)),) = source.around(place, "shop", [[str(long), 1]])
    assert len(line) == source.LONGEST
    assert len(source.around(place, "shop", [[str(long), 1]] * 1000)) == source.MOST_PLACES
