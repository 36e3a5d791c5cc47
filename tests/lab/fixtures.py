"""pytest fixtures: a shared lab of three hosts, and a maker of more."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack

import pytest

from lab import ownkernel
from lab.lab import Lab
from lab.machine import reason_to_skip
from lab.ownkernel import OwnKernelHost


@pytest.fixture(scope="session")
def make_lab() -> Iterator[Callable[[int], Lab]]:
    """Return a maker of labs, which go when the session ends."""
    reason = reason_to_skip()
    if reason is not None:
        pytest.skip(f"no lab: {reason}")
    with ExitStack() as labs:
        yield lambda count: labs.enter_context(Lab(count=count))


@pytest.fixture(scope="module")
def own_kernel() -> Iterator[Lab]:
    """Return a lab of one host that has a kernel of its own."""
    reason = reason_to_skip() or ownkernel.reason_to_skip()
    if reason is not None:
        pytest.skip(f"no kernel of its own: {reason}")
    with Lab(count=1, kind=OwnKernelHost) as lab:
        yield lab


@pytest.fixture(scope="session")
def lab(make_lab: Callable[[int], Lab]) -> Lab:
    """Return three hosts, shared by all tests of a session: each cleans up after itself."""
    return make_lab(3)
