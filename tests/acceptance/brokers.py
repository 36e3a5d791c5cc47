"""Debian's own brokers for Celery on a host, and what they hold of its queue."""

from dataclasses import dataclass
from typing import NamedTuple, Protocol

from lab.host import Host
from lab.packages import install


class Queue(NamedTuple):
    """Tasks that wait, tasks that workers have and did not acknowledge, and who asks for more."""

    waiting: int
    taken: int
    askers: int


class Broker(Protocol):
    def start(self) -> str:
        """Start it with nothing in it; return the URL that Celery wants."""
        ...

    def stop(self) -> None: ...

    def queue(self) -> Queue: ...


@dataclass(frozen=True)
class Redis:
    host: Host

    def start(self) -> str:
        argv = ["redis-server", "--port", "6399", "--save", "", "--dir", "/tmp"]
        self.host.run(["systemd-run", "--quiet", "--unit=test-broker", "--collect", *argv])
        return "redis://127.0.0.1:6399/0"

    def stop(self) -> None:
        self.host.run(["systemctl", "stop", "test-broker"])

    def queue(self) -> Queue:
        waiting, taken = int(self._ask("llen", "celery")), int(self._ask("hlen", "unacked"))
        flags = [line.partition("flags=")[2] for line in self._ask("client", "list").splitlines()]
        # Kombu waits for tasks in a command that blocks.
        return Queue(waiting, taken, sum("b" in each.split()[0] for each in flags if each))

    def _ask(self, *words: str) -> str:
        return self.host.run(["redis-cli", "-p", "6399", *words])


@dataclass(frozen=True)
class RabbitMQ:
    host: Host

    def start(self) -> str:
        install(self.host, ["rabbitmq-server"])
        self.host.run(["systemctl", "start", "rabbitmq-server"])
        self.host.run(["rabbitmqctl", "await_startup"])
        return "amqp://guest:guest@127.0.0.1:5672//"

    def stop(self) -> None:
        self.host.run(["systemctl", "stop", "rabbitmq-server"])

    def queue(self) -> Queue:
        columns = ["name", "messages_ready", "messages_unacknowledged", "consumers"]
        told = self.host.run(["rabbitmqctl", "--quiet", "list_queues", *columns])
        rows = [line.split() for line in told.splitlines()]
        (counts,) = [row[1:] for row in rows if row[0] == "celery"]
        return Queue(*map(int, counts))
