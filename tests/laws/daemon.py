"""A daemon's doors over a store and a controller of their own, on real sockets."""

from __future__ import annotations

import asyncio
import os
import queue
import ssl
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import trustme

from steersman.builds import Builder
from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts
from steersman.control.relay import Relay
from steersman.control.repositories import Repositories
from steersman.control.session import Session
from steersman.sealing.keyring import KEY_FILE, Keyring
from steersman.server.app import make_app
from steersman.server.git.create import Pushes
from steersman.server.git.depot import Depot
from steersman.server.git.endpoint import FOLDER
from steersman.server.limits import Limits
from steersman.server.listen import ApiConfig, listening
from steersman.server.parts import Parts
from steersman.server.tokens import Tokens
from steersman.store.sqlite import SqliteStore
from steersman.telemetry.errorlog import FILE as ERRORS
from steersman.telemetry.errorlog import ErrorLog
from steersman.telemetry.samples import FILE, Samples
from steersman.transport.known_hosts import KnownHosts

ROOT = "/apis/steersman/v1"


@dataclass
class Daemon:
    """What runs. `socket` is its Unix socket; `url`, `ca` and `fingerprint` are its TLS door."""

    parts: Parts
    folder: Path
    url: str = ""
    ca: str = ""

    @property
    def socket(self) -> Path:
        return self.folder / "steer.sock"

    @asynccontextmanager
    async def client(self, token: str | None = None) -> AsyncIterator[httpx.AsyncClient]:
        """Yield a stranger's client: by TLS with a token, else by the socket, as its owner."""
        if token is None:
            transport, base = httpx.AsyncHTTPTransport(uds=str(self.socket)), "http://localhost"
        else:
            context = ssl.create_default_context(cafile=self.ca)
            transport, base = httpx.AsyncHTTPTransport(verify=context), self.url
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        async with httpx.AsyncClient(
            transport=transport, base_url=base, headers=headers, trust_env=False, timeout=60
        ) as client:
            yield client

    async def token(self, name: str, *scopes: str) -> str:
        return (await self.parts.tokens.create(name, scopes, None))[0]


@asynccontextmanager
async def daemon(
    folder: Path,
    *,
    limits: Limits | None = None,
    is_tls: bool = False,
    change: Callable[[Parts], None] = lambda parts: None,
    **options: Any,
) -> AsyncIterator[Daemon]:
    """Run a daemon's doors in `folder`, without the engine behind them; `change` may swap parts."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    relay, keys = Relay(), Keyring(folder / KEY_FILE)
    async with SqliteStore(folder) as store:
        trusted = KnownHosts(folder / "known_hosts")
        cache = folder / "cache"
        session = Session(
            store, relay, cache, trust_files=(trusted.path,), use_ssh_config=False, keys=keys
        )
        controller = Controller(session, Artifacts(Builder(cache)))
        parts = Parts(
            store=store,
            session=session,
            controller=controller,
            relay=relay,
            trusted=trusted,
            keys=keys,
            tokens=Tokens(store),
            repositories=Repositories(session, controller, keys),
            pushes=Pushes(Depot(folder / FOLDER, os.environ), controller, session.memory, None),
            limits=limits if limits is not None else Limits(),
            samples=Samples(folder / FILE),
            errors=ErrorLog(folder / ERRORS),
        )
        change(parts)
        assert parts.samples is not None and isinstance(parts.errors, ErrorLog)
        config, ca = _tls(folder) if is_tls else (ApiConfig(), "")
        app = make_app(parts, **options)
        try:
            async with (
                parts.samples.keeping(parts.hub),
                parts.errors.keeping(parts.hub),
                listening(app, folder, config, parts.stopping) as where,
            ):
                url = next((each for each in where if each.startswith("https")), "")
                yield Daemon(parts, folder, url.replace("127.0.0.1", "localhost"), ca)
        finally:
            await parts.works.end(10)
            await session.close()


def _tls(folder: Path) -> tuple[ApiConfig, str]:
    authority = trustme.CA()
    issued = authority.issue_cert("localhost", "127.0.0.1")
    names = {name: folder / f"{name}.pem" for name in ("cert", "key", "ca")}
    names["cert"].write_bytes(b"".join(blob.bytes() for blob in issued.cert_chain_pems))
    names["key"].write_bytes(issued.private_key_pem.bytes())
    authority.cert_pem.write_to_path(str(names["ca"]))
    config = ApiConfig(listen="127.0.0.1:0", certificate=str(names["cert"]), key=str(names["key"]))
    return config, str(names["ca"])


def app(name: str = "shop", **spec: Any) -> dict[str, Any]:
    """Return an App that no host runs."""
    web = {"command": "gunicorn shop", "port": "http"}
    made = {"source": {"package": "shop==1.0"}, "processes": {"web": web}}
    return document("App", name, {**made, "placement": {"selector": {"no": "host"}}, **spec})


def host(name: str = "h1", **spec: Any) -> dict[str, Any]:
    return document("Host", name, {"address": "192.0.2.1", "user": "root", **spec})


def secret(name: str, **values: str) -> dict[str, Any]:
    return document("Secret", name, {"data": {k: {"value": v} for k, v in values.items()}})


def job(name: str, of: str = "shop", **spec: Any) -> dict[str, Any]:
    return document("Job", name, {"app": of, "command": "true", "schedule": "@daily", **spec})


def document(kind: str, name: str, spec: Mapping[str, Any]) -> dict[str, Any]:
    metadata = {"name": name}
    return {"apiVersion": "steersman/v1", "kind": kind, "metadata": metadata, "spec": dict(spec)}


def steer_argv(*args: str) -> list[str]:
    return [sys.executable, "-m", "steersman.cli", *args]


def environment(folder: Path, **more: str) -> dict[str, str]:
    """Return what a steer is given whose folders are all below `folder`."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("STEER_")}
    own = {
        "XDG_STATE_HOME": str(folder),
        "XDG_CACHE_HOME": str(folder / "cache"),
        "XDG_CONFIG_HOME": str(folder / "config"),
    }
    return {**kept, **own, **more}


@contextmanager
def in_thread(folder: Path, **options: Any) -> Iterator[Daemon]:
    """Run a daemon in a thread of its own, for tests that run `steer` in this one."""
    started: queue.Queue[Daemon | BaseException] = queue.Queue()
    loop = asyncio.new_event_loop()
    stop = asyncio.Event()

    async def run() -> None:
        try:
            async with daemon(folder, **options) as one:
                started.put(one)
                await stop.wait()
        except BaseException as error:
            started.put(error)
            raise

    thread = threading.Thread(target=loop.run_until_complete, args=(run(),), daemon=True)
    thread.start()
    one = started.get(timeout=60)
    if isinstance(one, BaseException):
        raise one
    try:
        yield one
    finally:
        loop.call_soon_threadsafe(stop.set)
        thread.join(60)
        loop.close()
