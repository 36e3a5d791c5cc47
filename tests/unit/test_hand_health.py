"""What counts as an answer on a private socket, judged on real sockets."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import cast

import pytest

from steersman.hand.health import Watch, gate, probe

Answer = Callable[[socket.socket], object]


@contextmanager
def held(path: Path, answer: Answer | None) -> Iterator[None]:
    """Hold a listening socket at `path`; a program takes its connections only with `answer`."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listener:
        listener.bind(str(path))
        listener.listen()
        if answer is None:
            yield
            return

        def serve() -> None:
            client, _ = listener.accept()
            with client:
                answer(client)

        program = threading.Thread(target=serve)
        program.start()
        yield
        program.join()


def says(line: str) -> Answer:
    def answer(client: socket.socket) -> None:
        client.recv(4096)
        client.sendall(f"{line}\r\n\r\n".encode())

    return answer


@pytest.mark.parametrize(
    ("answer", "http", "wrong"),
    [
        (says("HTTP/1.1 200 OK"), "/healthz", ""),
        (says("HTTP/1.1 302 Found"), "/healthz", ""),
        (says("HTTP/1.1 500 Aground"), "/healthz", "GET /healthz answered 500"),
        (says("HTTP/1.1 404 Not Found"), None, ""),
        (says("HTTP/1.1 500 Aground"), None, ""),
        (says("220 mail.example.com"), None, "no HTTP answer"),
        (lambda client: client.recv(4096), None, "no HTTP answer"),
    ],
)
def test_an_answer_is_judged_by_what_was_asked(
    tmp_path: Path, answer: Answer, http: str | None, wrong: str
) -> None:
    path = tmp_path / "web.sock"
    with held(path, answer):
        verdict = probe({"socket": str(path), "http": http, "timeout": 60})
    assert wrong in verdict.wrong
    assert bool(verdict.wrong) == bool(wrong)


def test_a_socket_that_only_its_supervisor_holds_is_no_answer(tmp_path: Path) -> None:
    path = tmp_path / "web.sock"
    with held(path, None):
        verdict = probe({"socket": str(path), "http": None, "timeout": 0.1})
    assert verdict.wrong == "web.sock: timed out"
    assert not verdict.answered


class Alive:
    """A supervisor whose every unit runs."""

    def details(self, units: list[str]) -> dict[str, dict[str, object]]:
        return {unit: {"active": "active", "restarts": 0, "result": "success"} for unit in units}


@pytest.mark.parametrize(
    ("http", "serving", "well"),
    [(None, False, False), (None, True, True), ("/", False, False), ("/", True, False)],
)
def test_only_a_health_check_of_its_own_judges_what_serves(
    tmp_path: Path, http: str | None, serving: bool, well: bool
) -> None:
    path = tmp_path / "web.sock"
    check = {"socket": str(path), "http": http, "timeout": 0.05}
    watch = Watch(Alive(), [{"process": "web", "units": ["web@1"], "check": check}])
    with held(path, None):
        assert (watch.judge(serving=serving).wrong == "") == well


class Worker:
    """A supervisor of one unit, and the time that passes while a gate pauses."""

    def __init__(self, starts: list[float]) -> None:
        self.starts = starts
        self.now = 0.0

    def details(self, units: list[str]) -> dict[str, dict[str, object]]:
        *earlier, last = [start for start in self.starts if start <= self.now]
        ran = {"ran": self.now - last, "restarts": len(earlier), "result": "success"}
        return {unit: {"active": "active", **ran} for unit in units}

    def wait(self, seconds: float) -> bool:
        self.now += seconds
        return False


@pytest.mark.parametrize(
    ("starts", "ends"), [([-9.0], 0.0), ([-1.5], 0.5), ([0.0], 2.0), ([-1.0, 0.5], 2.5)]
)
def test_a_gate_waits_for_what_is_left_since_the_last_start(
    starts: list[float], ends: float
) -> None:
    supervisor = Worker(starts)
    watch = Watch(supervisor, [{"process": "worker", "units": ["worker@1"], "check": None}])
    gate(watch, 60.0, 2.0, 30.0, cast(threading.Event, supervisor))
    assert supervisor.now == pytest.approx(ends)
