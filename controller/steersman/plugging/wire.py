"""What a plugin's process is told and answers: lengths and bodies over its standard streams.

It is told pickles, which it may trust; it answers JSON, because nobody trusts what it says.
"""

from __future__ import annotations

import io
import json
import pickle
import struct
from types import MappingProxyType
from typing import Any

HEAD = struct.Struct("!I")
MOST_ANSWER = 256 * 1024


def frozen(mapping: dict[Any, Any]) -> MappingProxyType[Any, Any]:
    """Return a view that nobody can change; the type itself has no name that pickles know."""
    return MappingProxyType(mapping)


def told(message: object) -> bytes:
    """Return a message to the process as it is sent."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=pickle.HIGHEST_PROTOCOL)
    # Labels and fields that are empty are one mapping that nobody can change.
    pickler.dispatch_table = {MappingProxyType: lambda view: (frozen, (dict(view),))}
    pickler.dump(message)
    body = buffer.getvalue()
    return HEAD.pack(len(body)) + body


def answered(answer: dict[str, Any]) -> bytes:
    """Return an answer of the process as it is sent."""
    body = json.dumps(answer, default=str).encode()
    return HEAD.pack(len(body)) + body
