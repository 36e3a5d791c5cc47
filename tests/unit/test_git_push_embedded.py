"""A real `git push` of a real app to a real host: what serves, what is kept, what is refused."""

from __future__ import annotations

import asyncio
import tempfile
import urllib.request
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from git_lab import Pusher, Said
from steersman.api.objects import dump_object
from steersman.api.release import Release
from steersman.builds import Builder
from steersman.control.apply import Controller
from steersman.control.artifacts import Artifacts
from steersman.control.relay import Relay
from steersman.control.session import Session
from steersman.embedded.host import embedded_host
from steersman.sealing.keyring import Keyring
from steersman.server.git.config import Git, GitKey
from steersman.server.git.depot import Depot
from steersman.server.git.endpoint import git_endpoint
from steersman.store.sqlite import SqliteStore

pytestmark = pytest.mark.slow

SERVER = """
import http.server, os, socket

class Handler(http.server.BaseHTTPRequestHandler):
    def log_message(self, *words):
        pass

    def do_GET(self):
        body = {body}
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

server = http.server.HTTPServer(("", 0), Handler, bind_and_activate=False)
server.socket = socket.socket(fileno=3)
server.serve_forever()
"""
GOOD = SERVER.replace("{body}", "b'{word}'")
PROCFILE = "web: python serve.py $LISTEN_FDS\n"
MANIFEST = """apiVersion: steersman/v1
kind: App
metadata: {name: shop}
spec:
  source: {path: .}
  config: {env: {COLOUR: %s}, secrets: [shop]}
  processes:
    web:
      command: python serve.py $LISTEN_FDS
      port: http
      health: {http: /, interval: 200ms, failures: 3}
  routes: [{host: shop.test, process: web}]
  rollout: {progressDeadlineSeconds: 20}
---
apiVersion: steersman/v1
kind: Secret
metadata: {name: shop}
spec: {data: {TOKEN: {value: %s}}}
"""
ENV = SERVER.replace("{body}", "(os.environ['COLOUR'] + ' ' + os.environ['TOKEN']).encode()")


@dataclass
class Shop:
    """One host, one app, and one who pushes to it."""

    store: SqliteStore
    session: Session
    controller: Controller
    ann: Pusher
    port: int

    async def push(self) -> Said:
        return await self.ann.push("shop")

    async def get(self) -> str:
        def ask() -> str:
            request = urllib.request.Request(
                f"http://localhost:{self.port}/", headers={"Host": "shop.test"}
            )
            with urllib.request.urlopen(request, timeout=10) as answer:
                text: str = answer.read().decode()
                return text

        return await asyncio.to_thread(ask)

    async def releases(self) -> list[tuple[int, str]]:
        found: list[Release] = await self.session.memory.releases("shop")
        return [(release.spec.number, release.status.state) for release in found]


@pytest.fixture
async def shop(tmp_path: Path) -> AsyncIterator[Shop]:
    async with AsyncExitStack() as stack:
        # Not in tmp_path: a socket's path has room for 107 bytes.
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="steer-"))
        host = await stack.enter_async_context(embedded_host(Path(folder, "h")))
        store = await stack.enter_async_context(SqliteStore(tmp_path / "state"))
        relay, keys = Relay(), Keyring(tmp_path / "age.key")
        session = Session(store, relay, tmp_path / "cache", keys=keys, use_ssh_config=False)
        stack.push_async_callback(session.close)
        artifacts = Artifacts(Builder(tmp_path / "cache"))
        controller = Controller(session, artifacts)
        await store.put(dump_object(host.host))
        depot = Depot(tmp_path / "state" / "git", {})
        await depot.create("shop", "main")
        spec = {
            "source": {"git": {"url": str(depot.path("shop"))}},
            "routes": [{"host": "shop.test", "process": "web"}],
        }
        obj = {"apiVersion": "steersman/v1", "kind": "App", "metadata": {"name": "shop"}}
        await store.put({**obj, "spec": spec})
        ann = Pusher(tmp_path, "ann")
        config = Git(listen="127.0.0.1:0", keys={"ann": GitKey(key=ann.public, apps=("shop",))})
        listening = await stack.enter_async_context(
            git_endpoint(
                config, tmp_path / "state", session, controller, artifacts, relay, keys, print
            )
        )
        ann.meet(listening)
        yield Shop(store, session, controller, ann, host.port)


async def test_push_deploys_by_procfile_refuses_what_fails_and_applies_a_manifest(
    shop: Shop,
) -> None:
    # A Procfile and nothing else.
    files = {"serve.py": GOOD.replace("{word}", "one"), "Procfile": PROCFILE}
    first = shop.ann.copy.commit(files, "A first shop")
    said = await shop.push()
    assert said.code == 0, said.text
    assert "remote: shop: release 1: " in said.text
    assert "remote: here: shop converged" in said.text
    assert await shop.get() == "one"

    # What does not start is refused, with its own last words; nothing was disturbed.
    shop.ann.copy.commit({"serve.py": "raise SystemExit('no shelf for the books')"}, "Oops")
    said = await shop.push()
    assert said.code == 1, said.text
    assert "no shelf for the books" in said.text
    assert " ! [remote rejected] main -> main (release 2 was rejected: shop on here:" in said.text
    assert await shop.get() == "one"
    at = await shop.ann.git("ls-remote", shop.ann.url("shop"), "main")
    assert at.text.startswith(first)
    # Whoever looks at the app from now on finds it as it asks for: there is no third release.
    assert (await shop.controller.reconcile("shop")).is_good
    assert (await shop.controller.keep("shop")).is_good
    assert await shop.releases() == [(1, "deployed"), (2, "rejected")]
    app = await shop.session.memory.app("shop")
    assert (app.status.release, app.status.commit) == (1, first)

    # A manifest comes along, with a secret and a variable.
    text = MANIFEST % ("green", "hunter2hunter2")
    shop.ann.copy.commit({"serve.py": ENV, "steersman.yaml": text}, "With a manifest")
    said = await shop.push()
    assert said.code == 0, said.text
    assert "hunter2" not in said.text
    assert await shop.get() == "green hunter2hunter2"

    # One that fails takes its manifest and its secret back.
    text = MANIFEST % ("red", "another-secret-value")
    broken = {"serve.py": "raise SystemExit(3)", "steersman.yaml": text}
    shop.ann.copy.commit(broken, "With a broken server")
    said = await shop.push()
    assert said.code == 1, said.text
    assert await shop.get() == "green hunter2hunter2"
    app = await shop.session.memory.app("shop")
    assert app.spec.config.env == {"COLOUR": "green"}
    values = await shop.session.vault.current(["shop"])
    assert values == {"shop": {"TOKEN": "hunter2hunter2"}}
    assert (await shop.controller.reconcile("shop")).is_good
    assert (await shop.controller.keep("shop")).is_good
    numbers = [number for number, _ in await shop.releases()]
    assert numbers == [1, 2, 3, 4]

    # And mended, it goes on.
    shop.ann.copy.commit({"serve.py": ENV}, "Mended")
    said = await shop.push()
    assert said.code == 0, said.text
    assert await shop.get() == "red another-secret-value"

    # Who pushes after a rollback wants what he pushes; refused, he has the rollback again.
    await shop.controller.steering.undo("shop", 1)
    assert await shop.get() == "one"
    shop.ann.copy.commit({"serve.py": "raise SystemExit(3)"}, "Broken once more")
    said = await shop.push()
    assert said.code == 1, said.text
    assert (await shop.controller.reconcile("shop")).is_good
    assert await shop.get() == "one"
    assert [state for _, state in await shop.releases()][-2:] == ["deployed", "rejected"]
