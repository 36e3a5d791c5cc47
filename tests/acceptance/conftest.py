"""The real hosts that acceptance tests deploy to."""

from lab.fixtures import lab, make_lab

__all__ = ["lab", "make_lab"]
