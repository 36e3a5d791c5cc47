"""Which ports are taken, as the kernel says it and as its table says it."""

import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from steersman.hand import ports


@pytest.fixture
def taken() -> Iterator[dict[str, int]]:
    """Ports on which somebody listens (on either family), and one of a mere connection."""
    with ExitStack() as stack:
        listener = stack.enter_context(socket.create_server(("127.0.0.1", 0)))
        found = {"ipv4": listener.getsockname()[1]}
        if socket.has_ipv6:
            six = stack.enter_context(socket.create_server(("::1", 0), family=socket.AF_INET6))
            found["ipv6"] = six.getsockname()[1]
        client = stack.enter_context(socket.create_connection(listener.getsockname()))
        found["client"] = client.getsockname()[1]
        yield found


@pytest.mark.parametrize("is_old", [False, True])
def test_listeners_are_found_and_connections_are_not(
    taken: dict[str, int], is_old: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    if is_old:

        def refuse(family: int) -> Iterator[int]:
            raise OSError("no such family")

        monkeypatch.setattr(ports, "_asked", refuse)
    client = taken.pop("client")
    found = ports.listening(range(1, 65536))
    assert set(taken.values()) <= set(found)
    assert client not in found
    assert ports.listening(range(1, 2)) == []


def test_the_kernel_answers_as_its_table_does(taken: dict[str, int]) -> None:
    assert taken["ipv4"] in set(ports._asked(socket.AF_INET))
    assert taken["ipv4"] in ports._read("/proc/net/tcp")
