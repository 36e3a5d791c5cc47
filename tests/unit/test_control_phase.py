"""Whether a release's command has to be run, and where: by what is remembered alone."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest

from steersman.api.meta import Condition
from steersman.control.hosts import HostLink
from steersman.control.memory import Memory
from steersman.control.phase import ElsewhereBegun, run_release_command
from steersman.control.release import COMMAND_DONE
from steersman.control.report import Silent
from steersman.control.target import Wanted
from unit.test_contract import release


def told(done: str, host: str) -> dict[str, Wanted]:
    """Return what h1 should run: a release whose command has begun, or is done."""
    made = release(2, done=None)
    condition = {"type": COMMAND_DONE, "status": done, "message": host}
    status = made.status.model_copy(update={"conditions": (Condition.model_validate(condition),)})
    found = made.model_copy(update={"status": status})
    return {"h1": cast(Wanted, SimpleNamespace(release=found))}


class Untouched:
    """A host that nobody may ask anything."""

    name = "h1"

    def __getattr__(self, asked: str) -> Any:
        raise AssertionError(f"{asked} of a host that has nothing to do")


async def run(done: str, host: str) -> None:
    link, memory = cast(HostLink, Untouched()), cast(Memory, Untouched())
    await run_release_command(told(done, host), [link], memory, Silent())


async def test_what_is_remembered_as_done_is_not_even_asked_for() -> None:
    await run("True", "h9")


async def test_one_that_began_on_a_silent_host_is_begun_nowhere_else() -> None:
    with pytest.raises(ElsewhereBegun, match="begun on host h9, which does not answer"):
        await run("False", "h9")
