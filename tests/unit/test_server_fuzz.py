"""The API fuzzed from its own description: whatever is sent, it answers, and never with a 500."""

from __future__ import annotations

import asyncio
import warnings
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from schemathesis import GenerationMode
from schemathesis.core.result import Ok

from laws.daemon import ROOT, Daemon, app, host, in_thread, job, secret
from steersman.server.doors import doors
from steersman.server.resources import RESOURCES

# Enough to meet every branch of a door now and then; `make test` takes seconds, not minutes.
EXAMPLES = 2
# What reaches for hosts, or goes on for as long as it is let.
SLOW = ("hostchecks", "hostkeys", "hosttrust")


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with in_thread(tmp_path_factory.mktemp("f") / "s") as one:
        yield one


@pytest.fixture(scope="module")
def client(served: Daemon) -> Iterator[httpx.Client]:
    transport = httpx.HTTPTransport(uds=str(served.socket))
    with httpx.Client(transport=transport, base_url="http://localhost", timeout=60) as made:
        for path, each in (
            ("secrets", secret("token", TOKEN="c4n4ry-Zx9!")),
            ("hosts", host()),
            ("apps", app()),
            ("jobs", job("tidy")),
        ):
            assert made.post(f"{ROOT}/{path}", json=each).status_code == 201
        yield made


@pytest.fixture(scope="module")
def published(client: httpx.Client) -> dict[str, Any]:
    found: dict[str, Any] = client.get("/openapi/v3").json()
    return found


def test_the_description_says_every_door(published: dict[str, Any]) -> None:
    for door in doors(RESOURCES.values()):
        if door.serve is not None:
            assert door.method.lower() in published["paths"][door.path], door
    value = published["components"]["schemas"]["SecretSource"]["properties"]["value"]
    assert value["anyOf"][0]["writeOnly"] is True


@pytest.mark.slow
def test_nothing_that_is_sent_makes_it_fail(
    served: Daemon, client: httpx.Client, published: dict[str, Any]
) -> None:
    schema = schemathesis.openapi.from_dict(published)
    answered = 0
    for found in schema.get_all_operations():
        assert isinstance(found, Ok)
        operation = found.ok()
        if operation.path.rpartition("/")[2] in SLOW:
            continue
        for mode in (GenerationMode.POSITIVE, GenerationMode.NEGATIVE):
            try:
                answered += fuzz(operation, operation.as_strategy(mode), client)
            except Unsatisfiable:
                continue  # nothing can be sent that would not fit
    assert answered > 100
    assert client.get("/healthz").status_code == 200


def fuzz(operation: Any, strategy: Any, client: httpx.Client) -> int:
    """Send what a strategy makes for an operation; return how often it answered."""
    count = 0

    @settings(
        max_examples=EXAMPLES,
        database=None,
        deadline=None,
        derandomize=True,
        phases=[Phase.generate],
        suppress_health_check=list(HealthCheck),
    )
    @given(case=strategy)
    def send(case: Any) -> None:
        nonlocal count
        code = asked(case, client)
        assert code < 500 or code == 503, (case.method, case.formatted_path, case.body, code)
        count += 1

    send()
    return count


def asked(case: Any, client: httpx.Client) -> int:
    """Return the code of the answer to a case; what goes on for ever is left after a line."""
    options = case.as_transport_kwargs(base_url="http://localhost")
    method, url = options.pop("method"), options.pop("url")
    known = ("headers", "params", "json", "content", "data", "cookies")
    sent = {key: value for key, value in options.items() if key in known}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            request = client.build_request(method, url, **sent)
        except (TypeError, ValueError, UnicodeError, httpx.InvalidURL):
            return 400  # what no client could send
    # Whoever is at the socket is known; a token made up would end everything at the first door.
    request.headers.pop("Authorization", None)
    try:
        response = client.send(request, stream=True)
    except httpx.LocalProtocolError:
        return 400
    try:
        return response.status_code
    finally:
        response.close()


HOSTILE = ("", "x", "-1", "1.5", "9" * 40, "true", "\0", "\u0663", "a=b,,", "=" * 2000)


def test_no_parameter_makes_it_fail(client: httpx.Client, published: dict[str, Any]) -> None:
    asked = 0
    for path, operations in published["paths"].items():
        parameters = operations.get("get", {}).get("parameters", ())
        for name in (each["name"] for each in parameters if each["in"] == "query"):
            for value in HOSTILE:
                params = {name: value, "timeoutSeconds": "1"} if name != "timeoutSeconds" else {}
                url = path.replace("{name}", "shop")
                with client.stream("GET", url, params=params) as answer:
                    assert answer.status_code < 500, (url, name, value)
                asked += 1
    assert asked > 300


BODIES = (
    b"",
    b"{",
    b"[]",
    b"null",
    b"1",
    b'"x"',
    b'{"objects": [1, null, {"kind": []}]}',
    b'{"metadata": 3, "spec": [], "kind": "App", "apiVersion": "steersman/v1"}',
    b'{"names": {}, "hosts": 3, "scopes": [{}], "counts": [], "edits": [[]], "plan": 3}',
    b'{"name": 3, "host": [], "to": "x", "force": 1, "within": "x", "lines": [3], "within": null}',
    b'{"preconditions": [], "propagationPolicy": 3}',
    b'[{"op": "test"}, 3]',
    '{"x": "\u0663\ud7ff"}'.encode(),
    b"\xff\xfe",
)


def test_no_body_makes_it_fail(client: httpx.Client, published: dict[str, Any]) -> None:
    asked = 0
    for path, operations in published["paths"].items():
        url = path.replace("{name}", "no-such")
        for method in operations.keys() - {"get"}:
            body = operations[method].get("requestBody", {"content": {"application/json": {}}})
            for type_ in (*body["content"], "text/plain"):
                for content in BODIES:
                    with client.stream(
                        method.upper(), url, content=content, headers={"Content-Type": type_}
                    ) as answer:
                        assert answer.status_code < 500, (method, url, content)
                    asked += 1
    assert asked > 500


@pytest.mark.parametrize(
    "path",
    [
        "/apis/steersman/v1/apps/../../../../etc/passwd",
        "/apis/steersman/v1/apps/%2e%2e%2f%2e%2e",
        "/apis/steersman/v1/apps/%00",
        "/apis/steersman/v1/apps/" + "x" * 5000,
        "/apis/steersman/v1/apps/shop/logs?tail=99999999999999999999999",
        "/apis/steersman/v1/apps?labelSelector=" + "a%3Db," * 2000,
        "/apis/steersman/v1/apps?limit=5&limit=6",
        "/apis/steersman/v1/apps?continue=" + "A" * 3000,
        "/apis/steersman/v1/apps?fieldSelector=spec.x%3D%00",
        "/apis/steersman/v1/%c0%ae/%ff",
        "//apis",
        "/APIS",
    ],
)
def test_strange_paths_are_refused(served: Daemon, path: str) -> None:
    async def ask() -> bytes:
        reader, writer = await asyncio.open_unix_connection(str(served.socket))
        writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
        answer = await asyncio.wait_for(reader.read(), 60)
        writer.close()
        return answer

    status = int(asyncio.run(ask()).split()[1])
    assert status in (200, 400, 404, 410, 422), status
