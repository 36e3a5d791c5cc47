"""What every test has."""

import asyncio
import signal
import socket
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every `steer`
# that they start; a handler here is the default again in a child.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# How long an example takes is told by who else uses the machine; what fails is told with its seed.
settings.register_profile(
    "steersman", deadline=None, suppress_health_check=[HealthCheck.too_slow], print_blob=True
)
settings.load_profile("steersman")


@pytest.fixture(scope="session", autouse=True)
def main_thread_loop() -> Iterator[None]:
    """Give synchronous tests a loop that somebody closes; pytest-asyncio would leave its own."""
    loop = asyncio.new_event_loop()
    asyncio.set_event_loop(loop)
    yield
    loop.close()


@pytest.fixture(autouse=True)
def own_logs() -> None:
    """Forget how a verb that ran in this process has set up the log: it may have silenced it."""
    structlog.reset_defaults()


@pytest.fixture
def closed_port() -> Iterator[int]:
    """Return a port of 127.0.0.1 on which nobody listens, and which nobody else is given.

    A server of the test's own may take it, if it sets SO_REUSEADDR as most do.
    """
    with socket.socket() as holder:
        holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        holder.bind(("127.0.0.1", 0))
        yield holder.getsockname()[1]
