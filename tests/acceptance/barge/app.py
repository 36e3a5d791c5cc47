"""An app that knows nothing of steersman, and fails when it is asked for its cargo."""

from collections.abc import Callable, Iterable
from typing import Any

from barge.cargo import weigh


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    is_wanted = environ["PATH_INFO"] == "/cargo"
    body = weigh(0, environ["QUERY_STRING"]) if is_wanted else b"afloat\n"
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
