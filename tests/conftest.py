"""What every test has."""

import asyncio
import signal
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# How long an example takes is the machine's affair: neither a limit of each, which is 200 ms
# unless one is set, nor one of how fast they are made may fail a test where others work too.
settings.register_profile("steersman", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("steersman")

# A shell that runs the tests in the background has them ignore Ctrl-C, and so would every `steer`
# that they start; a handler here is the default again in a child.
if signal.getsignal(signal.SIGINT) == signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


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
