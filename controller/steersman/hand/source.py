"""Lines of an app's source as it was released, for whoever reads a traceback of it."""

from __future__ import annotations

import os
import stat

from .place import Place

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Dict, List

MOST_PLACES = 64
MOST_BYTES = 1 << 20
LONGEST = 300
AROUND = 5


def around(place: Place, app: str, places: List[List[Any]]) -> List[List[Any]]:
    """Return for each [path, line] its source: [first line's number, [line, …]]; [0, []] if none.

    Only what lies in the `src` of a build of this app is read, wherever links lead.
    """
    texts: Dict[str, List[str]] = {}
    found: List[List[Any]] = []
    for path, line in places[:MOST_PLACES]:
        if path not in texts:
            texts[path] = _lines(place, app, path)
        first = max(1, int(line) - AROUND)
        lines = texts[path][first - 1 : int(line) + AROUND] if int(line) > 0 else []
        found.append([first if lines else 0, [text[:LONGEST] for text in lines]])
    return found


def _lines(place: Place, app: str, path: str) -> List[str]:
    if "/" in app or app in ("", ".", "..") or "\0" in path:
        return []
    real = os.path.realpath(path)
    inside = os.path.relpath(real, os.path.realpath(place.app(app, "builds"))).split(os.sep)
    if len(inside) < 3 or inside[0] == ".." or inside[1] != "src":
        return []
    try:
        if not stat.S_ISREG(os.lstat(real).st_mode):
            return []
        with open(real, "rb") as file:
            return file.read(MOST_BYTES).decode("utf-8", "replace").splitlines()
    except OSError:
        return []  # it is gone, or of a build that is being removed
