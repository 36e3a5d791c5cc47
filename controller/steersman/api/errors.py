"""Every error steersman raises: a sentence that ends with the way out."""

from typing import ClassVar


class SteersmanError(Exception):
    """The base; `retryable` tells the queue whether waiting can help."""

    retryable: ClassVar[bool] = False


class HostUnreachable(SteersmanError):
    """The host could not be reached, or the link to it was lost."""

    retryable = True

    def __init__(self, host: str, why: str) -> None:
        super().__init__(f"host {host}: {why}; check its address, or run `steer host check {host}`")
        self.host = host
