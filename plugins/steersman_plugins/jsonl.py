"""Appends every signal to a file as one line of JSON; the file turns over at a size."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import AfterValidator, Field

from steersman.api.model import Model
from steersman.api.plugging import Plugin, PluginError
from steersman.api.quantities import Size
from steersman.api.refusal import Refused, quoted
from steersman.api.signals import SHIPPED, Signal, SignalName
from steersman_plugins.plain import plain


def check_path(path: str) -> str:
    """Return `path` when it is that of a file, from the root on."""
    if not os.path.isabs(path) or path.endswith("/") or "\0" in path:
        raise Refused(quoted(path), "an absolute path of a file, such as /var/log/steersman.jsonl")
    return path


class Jsonl(Plugin):
    """A file with one JSON object in each line: the signal's kind and fields."""

    takes: ClassVar[frozenset[SignalName]] = frozenset(SHIPPED)

    class Config(Model):
        """`path` becomes PATH.1, and that PATH.2, when a file of `size` bytes is full; `keep` of
        these are kept. With `sync`, a batch counts as shipped when the disk has it."""

        path: Annotated[str, AfterValidator(check_path)]
        size: Size = 64 * 1024 * 1024
        keep: Annotated[int, Field(strict=True, ge=0, le=100)] = 3
        sync: bool = False

    async def ship(self, batch: Sequence[Signal]) -> None:
        await asyncio.to_thread(self._write, "".join(map(line_of, batch)).encode())

    def _write(self, data: bytes) -> None:
        path, before = self.config.path, None
        try:
            # Opened anew each time: somebody else may have moved it away.
            fd = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o640)
            try:
                before = os.fstat(fd).st_size
                self._write_all(fd, data, before)
                if self.config.sync:
                    os.fsync(fd)
            finally:
                os.close(fd)
            if before + len(data) >= self.config.size:
                self._turn_over()
        except OSError as error:
            why = error.strerror or str(error)
            raise PluginError(f"{path} cannot be written: {why}; make room, or mend it") from error

    def _write_all(self, fd: int, data: bytes, before: int) -> None:
        """Write everything or nothing: half a batch would come twice."""
        done = 0
        try:
            while done < len(data):
                done += os.write(fd, data[done:])
        except OSError:
            os.ftruncate(fd, before)
            raise

    def _turn_over(self) -> None:
        path, keep = self.config.path, self.config.keep
        names = [path, *(f"{path}.{number}" for number in range(1, keep + 1))]
        for older, newer in zip(reversed(names), reversed(names[:-1]), strict=False):
            if os.path.exists(newer):
                os.replace(newer, older)
        if keep == 0:
            os.unlink(path)


def line_of(signal: Signal) -> str:
    """Return a signal as a line of JSON in ASCII, so that no text of it can break the line."""
    return json.dumps(plain(signal)) + "\n"
