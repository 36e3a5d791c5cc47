"""The errors that were seen, over HTTP."""

from __future__ import annotations

from starlette.responses import Response

from steersman.server.ask import Ask
from steersman.server.objects import json_answer
from steersman.server.status import ApiError
from steersman.telemetry.errorform import KIND

MOST = 200


async def errors(ask: Ask) -> Response:
    """Return the errors seen last (of one `app`, or with one `name`), those of others left out."""
    book = ask.parts.errors
    if book is None:
        raise ApiError(503, "this daemon keeps no errors; `steer serve` does")
    found = await book.errors(ask.text("app"), ask.text("name"))
    mine = [each for each in found if ask.may("get", KIND, each)]
    # What was learned to be a secret since is masked in what was seen before, too.
    return json_answer({"items": ask.parts.masks.data(mine[-MOST:])})
