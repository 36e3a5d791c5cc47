"""Which line of an error's traceback is shown where there is room for one."""

from collections.abc import Mapping
from typing import Any

Object = Mapping[str, Any]


def culprit(error: Object) -> Object:
    """Return the frame that people look at first: the last of their own, {} if there is none."""
    exceptions: list[Object] = error["spec"].get("exceptions") or [{}]
    frames: list[Object] = exceptions[0].get("frames", [])
    own = [frame for frame in frames if frame.get("inApp")]
    return [{}, *frames, *own][-1]


def where(error: Object) -> str | None:
    """Return a frame as `shop/views.py:12 total`."""
    frame = culprit(error)
    if not frame:
        return None
    return f"{frame.get('file')}:{frame.get('line', 0)} {frame.get('function', '')}".rstrip()
