"""StatsD's lines: what the words around a value mean. Part of the ear; imports nothing of ours.

NAME:VALUE|TYPE[|@RATE][|#TAG:VALUE,…], as Etsy's statsd wrote it down and DogStatsD extended it:
several values between colons, histograms `h`, distributions `d`, and fields that we leave unread.
"""

from __future__ import annotations

import re

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, Tuple

    Labels = Tuple[Tuple[str, str], ...]

MOST_NAME = 150
MOST_TAGS = 10
MOST_TAG = 100
TYPES = {"c", "g", "ms", "h", "d", "s"}
# Whoever samples is labelled by us; what an app says of itself in these words is kept apart.
OURS = {"app", "process", "host", "release", "instance", "quantile"}
RESERVED = "steersman_"
_NOT_NAME = re.compile(r"[^A-Za-z0-9_]")
_CONTROL = re.compile(r"[\x00-\x1f\x7f\ud800-\udfff]")


class Malformed(ValueError):
    """A line that is not StatsD."""


def is_skipped(head: bytes) -> bool:
    """Return whether a line is an event or a service check of DogStatsD's: those we do not keep."""
    return head.startswith((b"_e{", b"_sc|"))


def read_name(raw: bytes) -> str:
    """Return a metric's name with `_` for what Prometheus does not allow, such as dots."""
    name = _NOT_NAME.sub("_", raw.decode("utf-8", "replace"))
    if not name.strip("_") or len(name) > MOST_NAME:
        raise Malformed(raw)
    if name[0].isdigit():
        name = "_" + name
    return "app_" + name if name.startswith(RESERVED) else name


def read_meta(raw: bytes) -> Tuple[str, float, Labels]:
    """Return the type, the sample rate and the tags behind a value."""
    kind, *rest = raw.decode("utf-8", "replace").strip().split("|")
    if kind not in TYPES:
        raise Malformed(raw)
    rate = 1.0
    labels: Labels = ()
    for part in rest:
        if part[:1] == "@":
            rate = _rate(part[1:])
        elif part[:1] == "#":
            labels = _tags(part[1:])
        # c: and e: name a container, T a time: what those say we know better.
        elif part[:1] not in ("c", "e", "T"):
            raise Malformed(raw)
    # A distribution is a histogram of all hosts together: of one host it is the same.
    return "h" if kind == "d" else kind, rate, labels


def _rate(text: str) -> float:
    rate = float(text)
    if not 0 < rate <= 1:
        raise Malformed(text)
    return rate


def _tags(text: str) -> Labels:
    found: Dict[str, str] = {}
    for tag in text.split(",")[:MOST_TAGS]:
        key, _, value = tag.partition(":")
        name = _NOT_NAME.sub("_", key[:MOST_TAG])
        if not name:
            continue
        if name in OURS or name[0].isdigit():
            name = "tag_" + name
        # A tag without a value says that it is so.
        found[name] = _CONTROL.sub("_", value[:MOST_TAG]) or "true"
    return tuple(sorted(found.items()))


def read_value(raw: bytes) -> float:
    """Return a value; raises ValueError."""
    value = float(raw)
    # No number minus itself is 0 when it is not finite; Python reads 1_0, and nobody else does.
    if value - value != 0.0 or b"_" in raw:
        raise Malformed(raw)
    return value
