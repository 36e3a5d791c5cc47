"""The examples are valid, and the server without a framework ends as gracefully as it says."""

import http.client
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.api.app import App
from steersman.api.plugin import Plugin
from steersman.control.memory import Memory
from steersman.control.plugins import admit_given_plugins
from steersman.manifests import load
from steersman.plugging.types import installed
from steersman.store.sqlite import SqliteStore

EXAMPLES = Path(__file__).parents[2] / "manifests/examples"
NAMES = sorted(path.parent.name for path in EXAMPLES.glob("*/app.yaml"))


Server = tuple[int, subprocess.Popen[bytes]]


@pytest.fixture
def server(closed_port: int, tmp_path: Path) -> Iterator[Server]:
    env = {"PORT": str(closed_port), "STATE_DIR": str(tmp_path), "GREETING": "hello"}
    script = str(EXAMPLES / "port-plain/src/server.py")
    with subprocess.Popen([sys.executable, script], env=env, stdout=subprocess.PIPE) as process:
        wait_for_port(closed_port, process)
        yield closed_port, process
        process.kill()


def wait_for_port(port: int, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            continue
        return
    raise RuntimeError(f"the server ended with {process.returncode} before it listened")


def test_there_are_examples() -> None:
    assert NAMES == ["asgi-board", "celery-desk", "django-shop", "port-plain", "watched-shop"]


@pytest.mark.parametrize("name", NAMES)
def test_an_example_is_valid_and_its_source_exists(name: str) -> None:
    loaded = load([str(EXAMPLES / name)])
    apps = [each.obj for each in loaded.objects if isinstance(each.obj, App)]
    assert len(apps) == 1
    assert apps[0].spec.source.path is not None
    assert (EXAMPLES / name / "src/VERSION").read_text() == "1\n"


async def test_an_example_of_each_type_of_plugins_is_what_the_type_takes(tmp_path: Path) -> None:
    files = sorted((EXAMPLES / "plugins").glob("*.yaml"))
    assert [file.stem for file in files] == [each.type for each in installed()]
    for file in files:
        objects = [each.obj for each in load([str(file)]).objects]
        (plugin,) = (each for each in objects if isinstance(each, Plugin))
        assert plugin.spec.type == plugin.name == file.stem
        async with SqliteStore(tmp_path / file.stem) as store:
            await admit_given_plugins(Memory(store), objects)


def test_the_plain_server_answers_on_its_port(server: Server, tmp_path: Path) -> None:
    link = http.client.HTTPConnection("127.0.0.1", server[0])
    for method, path, body, told in (
        ("GET", "/", None, "hello"),
        ("GET", "/healthz", None, "ok"),
        ("POST", "/orders", "order-1", "order-1"),
    ):
        link.request(method, path, body)
        answer = link.getresponse()
        assert answer.getheader("X-Revision") == "1"
        assert told in answer.read().decode()
    assert (tmp_path / "orders").read_text() == "order-1\n"
    link.close()


def test_term_lets_a_request_under_way_end_and_closes_idle_connections(
    server: tuple[int, subprocess.Popen[bytes]],
) -> None:
    port, process = server
    idle = socket.create_connection(("127.0.0.1", port), timeout=60)
    busy = socket.create_connection(("127.0.0.1", port), timeout=60)
    busy.sendall(
        b"POST /orders HTTP/1.1\r\nHost: x\r\nContent-Length: 7\r\nExpect: 100-continue\r\n\r\n"
    )
    # The interim answer proves that the request is under way.
    assert busy.recv(100).startswith(b"HTTP/1.1 100")
    process.send_signal(signal.SIGTERM)
    assert idle.recv(1) == b""
    busy.sendall(b"order-2")
    answer = b"".join(iter(lambda: busy.recv(4096), b""))
    assert answer.startswith(b"HTTP/1.1 201")
    assert b"Connection: close" in answer
    assert answer.endswith(b"order-2")
    assert process.wait(timeout=60) == 0
    idle.close()
    busy.close()
