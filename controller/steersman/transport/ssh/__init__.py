"""SSH: the only package that imports asyncssh, and where its errors end."""

from steersman.transport.ssh.connection import (
    Channel,
    Connection,
    Receiver,
    connect,
    fetch_host_keys,
)

__all__ = ["Channel", "Connection", "Receiver", "connect", "fetch_host_keys"]
