"""Puts lines together in datagrams of at most so many bytes."""

from __future__ import annotations

from collections.abc import Iterable


def packed(lines: Iterable[bytes], limit: int) -> tuple[list[bytes], int]:
    """Return datagrams of whole `lines`, in their order, and how many were too long for any."""
    datagrams: list[bytes] = []
    held: list[bytes] = []
    size = too_long = 0
    for line in lines:
        if len(line) > limit:
            too_long += 1
            continue
        if held and size + 1 + len(line) > limit:
            datagrams.append(b"\n".join(held))
            held, size = [], 0
        size += len(line) + (1 if held else 0)
        held.append(line)
    if held:
        datagrams.append(b"\n".join(held))
    return datagrams, too_long
