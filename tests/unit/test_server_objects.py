"""Objects over HTTP as Kubernetes has them, over a real socket."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest

from laws.daemon import ROOT, Daemon, app, daemon, document, host, job, secret
from steersman.api.app import App
from steersman.api.errors import HostUnreachable
from steersman.api.host import CORDON
from steersman.control.cordon import Cordons
from steersman.control.outcome import HostOutcome, Outcome
from steersman.server import watch
from steersman.server.ask import APPLY
from steersman.server.objects import MERGE, OPERATIONS

CANARY = "c4n4ry-Zx9!-value"


@pytest.fixture
async def served(tmp_path: Path) -> AsyncIterator[Daemon]:
    async with daemon(tmp_path / "steersman", is_tls=True) as one:
        yield one


@pytest.fixture
async def api(served: Daemon) -> AsyncIterator[httpx.AsyncClient]:
    async with served.client() as client:
        yield client


async def patch(api: httpx.AsyncClient, path: str, type_: str, data: Any) -> httpx.Response:
    headers = {"Content-Type": type_}
    return await api.patch(f"{ROOT}{path}", content=json.dumps(data), headers=headers)


async def test_an_object_lives_and_goes(api: httpx.AsyncClient) -> None:
    made = await api.post(f"{ROOT}/apps", json=app())
    assert (made.status_code, made.headers["Steersman-Change"]) == (201, "created")
    metadata = made.json()["metadata"]
    assert (metadata["generation"], len(metadata["uid"])) == (1, 36)
    again = await api.post(f"{ROOT}/apps", json=app())
    assert (again.status_code, again.json()["reason"]) == (409, "AlreadyExists")
    changed = made.json()
    changed["spec"]["history"] = 3
    replaced = await api.put(f"{ROOT}/apps/shop", json=changed)
    assert replaced.json()["metadata"]["generation"] == 2
    stale = await api.put(f"{ROOT}/apps/shop", json=changed)
    assert (stale.status_code, stale.json()["reason"]) == (409, "Conflict")
    assert (await api.get(f"{ROOT}/apps/shop")).json()["spec"]["history"] == 3
    assert (await api.delete(f"{ROOT}/apps/shop")).status_code == 200
    gone = await api.get(f"{ROOT}/apps/shop")
    assert (gone.status_code, gone.json()["reason"], gone.json()["code"]) == (404, "NotFound", 404)


async def test_what_is_wrong_is_told_field_by_field(api: httpx.AsyncClient) -> None:
    bad = app(histroy=3, routes=[{"host": "x.example.com", "process": "wbe"}])
    bad["spec"]["processes"]["web"]["count"] = "two"
    refused = await api.post(f"{ROOT}/apps", json=bad)
    status = refused.json()
    assert (refused.status_code, status["reason"]) == (422, "Invalid")
    fields = {each["field"] for each in status["details"]["causes"]}
    assert {"spec.histroy", "spec.processes.web.count"} <= fields
    lost = await api.post(f"{ROOT}/apps", json=app(routes=[{"host": "x.test", "process": "wbe"}]))
    assert lost.json()["details"]["causes"][0]["field"] == "spec.routes[0].process"


@pytest.mark.parametrize(
    ("content", "type_", "code"),
    [
        (b"{", "application/json", 400),
        (b"[]", "application/json", 400),
        (b"\xff\xfe", "application/json", 400),
        (b"{}", "text/plain", 415),
        (b'{"a":' * 200 + b"1" + b"}" * 200, "application/json", 400),
        (b'{"apiVersion": "v2", "kind": "App"}', "application/json", 422),
        (b'{"apiVersion": "steersman/v1", "kind": "Host"}', "application/json", 422),
    ],
)
async def test_bodies_that_are_no_object(
    api: httpx.AsyncClient, content: bytes, type_: str, code: int
) -> None:
    answer = await api.post(f"{ROOT}/apps", content=content, headers={"Content-Type": type_})
    assert answer.status_code == code, answer.text


async def test_objects_that_do_not_fit_together_are_not_admitted(api: httpx.AsyncClient) -> None:
    refused = await api.post(f"{ROOT}/apps", json=app(config={"secrets": ["nothing"]}))
    assert refused.status_code == 422
    assert refused.json()["details"]["causes"][0]["reason"] == "NotAdmitted"
    assert (await api.get(f"{ROOT}/apps/shop")).status_code == 404


async def test_places_on_the_senders_machine_mean_nothing_here(api: httpx.AsyncClient) -> None:
    relative = await api.post(f"{ROOT}/apps", json=app(source={"path": "shop"}))
    assert relative.json()["details"]["causes"][0]["field"] == "spec.source.path"
    for source in ({"fromFile": "x"}, {"fromEnv": "HOME"}, {"fromExec": ["id"]}):
        elsewhere = document("Secret", "s", {"data": {"TOKEN": source}})
        for path, body in (("/secrets", elsewhere), ("/apply", {"objects": [elsewhere]})):
            refused = await api.post(f"{ROOT}{path}", json=body)
            assert refused.status_code == 422, source
            assert refused.json()["details"]["causes"][0]["field"] == "spec.data.TOKEN"


async def test_dry_runs_change_nothing(api: httpx.AsyncClient) -> None:
    dry = {"dryRun": "All"}
    assert (await api.post(f"{ROOT}/apps", json=app(), params=dry)).status_code == 201
    assert (await api.get(f"{ROOT}/apps/shop")).status_code == 404
    await api.post(f"{ROOT}/apps", json=app())
    would = await api.put(f"{ROOT}/apps/shop", json=app(history=7), params=dry)
    assert would.json()["spec"]["history"] == 7
    assert (await api.delete(f"{ROOT}/apps/shop", params=dry)).status_code == 200
    assert "history" not in str((await api.get(f"{ROOT}/apps/shop")).json()["spec"]) or (
        (await api.get(f"{ROOT}/apps/shop")).json()["spec"]["history"] == 10
    )
    assert (
        await api.put(f"{ROOT}/apps/shop", json=app(), params={"dryRun": "x"})
    ).status_code == 400


async def test_patches(api: httpx.AsyncClient) -> None:
    await api.post(f"{ROOT}/apps", json=app())
    merged = await patch(api, "/apps/shop", MERGE, {"metadata": {"labels": {"tier": "front"}}})
    assert merged.json()["metadata"]["labels"] == {"tier": "front"}
    test = {"op": "test", "path": "/metadata/labels/tier", "value": "front"}
    operation = {"op": "replace", "path": "/spec/history", "value": 4}
    done = await patch(api, "/apps/shop", OPERATIONS, [test, operation])
    assert done.json()["spec"]["history"] == 4
    failed = await patch(api, "/apps/shop", OPERATIONS, [{**test, "value": "back"}, operation])
    assert failed.status_code == 422
    for data in (
        {"spec": None},
        {"kind": "Host"},
        {"metadata": {"name": "other"}},
        {"metadata": 3},
    ):
        assert (await patch(api, "/apps/shop", MERGE, data)).status_code in (400, 422), data
    uid = await patch(api, "/apps/shop", MERGE, {"metadata": {"uid": "x"}})
    assert uid.status_code == 400
    status = await patch(api, "/apps/shop", MERGE, {"status": {"release": 9}})
    assert "release" not in status.json().get("status", {})


async def test_managers_own_their_fields(api: httpx.AsyncClient) -> None:
    mine = {"apiVersion": "steersman/v1", "kind": "App", "metadata": {"name": "shop"}}
    first = {**mine, "spec": {**app()["spec"], "history": 5}}
    made = await patch(api, "/apps/shop?fieldManager=ci", APPLY, first)
    assert made.status_code == 201
    theirs = {**mine, "spec": {**app()["spec"], "history": 6}}
    refused = await patch(api, "/apps/shop?fieldManager=bob", APPLY, theirs)
    assert refused.status_code == 409
    causes = refused.json()["details"]["causes"]
    assert causes == [
        {"reason": "FieldManagerConflict", "message": "managed by ci", "field": "spec.history"}
    ]
    forced = await patch(api, "/apps/shop?fieldManager=bob&force=true", APPLY, theirs)
    assert forced.json()["spec"]["history"] == 6
    assert (await patch(api, "/apps/shop", APPLY, theirs)).status_code == 400
    shown = (await api.get(f"{ROOT}/apps/shop?managedFields=true")).json()["metadata"]
    assert {each["manager"] for each in shown["managedFields"]} == {"ci", "bob"}
    # What was read is sent back as it is.
    whole = (await api.get(f"{ROOT}/apps/shop?managedFields=true")).json()
    assert (await api.put(f"{ROOT}/apps/shop", json=whole)).status_code == 200


async def test_lists_are_chosen_from_and_come_in_pages(api: httpx.AsyncClient) -> None:
    for number in range(5):
        made = host(f"h{number}")
        made["metadata"]["labels"] = {"role": "web" if number % 2 else "db"}
        await api.post(f"{ROOT}/hosts", json=made)
    chosen = (await api.get(f"{ROOT}/hosts", params={"labelSelector": "role=web"})).json()
    assert (chosen["kind"], [h["metadata"]["name"] for h in chosen["items"]]) == (
        "HostList",
        ["h1", "h3"],
    )
    named = {"fieldSelector": "metadata.name=h2"}
    assert len((await api.get(f"{ROOT}/hosts", params=named)).json()["items"]) == 1
    names: list[str] = []
    params: dict[str, Any] = {"limit": 2}
    while True:
        page = (await api.get(f"{ROOT}/hosts", params=params)).json()
        names += [each["metadata"]["name"] for each in page["items"]]
        if len(names) == 2:
            await api.post(f"{ROOT}/hosts", json=host("h9"))  # not of this listing
        if "continue" not in page["metadata"]:
            break
        params["continue"] = page["metadata"]["continue"]
    assert names == ["h0", "h1", "h2", "h3", "h4"]
    for bad in ({"labelSelector": "=="}, {"fieldSelector": "x"}, {"limit": "-1"}, {"limit": "x"}):
        assert (await api.get(f"{ROOT}/hosts", params=bad)).status_code == 400, bad
    assert (await api.get(f"{ROOT}/hosts", params={"continue": "x"})).status_code == 410


async def lines(api: httpx.AsyncClient, path: str, count: int) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    async with api.stream("GET", f"{ROOT}{path}") as answer:
        assert answer.status_code == 200
        async for line in answer.aiter_lines():
            found.append(json.loads(line))
            if len(found) == count:
                break
    return found


async def test_a_watch_tells_every_change_after_a_revision(api: httpx.AsyncClient) -> None:
    await api.post(f"{ROOT}/hosts", json=host("h1"))
    revision = (await api.get(f"{ROOT}/hosts")).json()["metadata"]["resourceVersion"]
    watching = asyncio.create_task(lines(api, f"/hosts?watch=true&resourceVersion={revision}", 3))
    await api.post(f"{ROOT}/hosts", json=host("h2"))
    await api.put(f"{ROOT}/hosts/h1", json=host("h1", port=23))
    await api.delete(f"{ROOT}/hosts/h2", params={"propagationPolicy": "Orphan"})
    told = await watching
    seen = [(each["type"], each["object"]["metadata"]["name"]) for each in told]
    assert seen == [("ADDED", "h2"), ("MODIFIED", "h1"), ("DELETED", "h2")]


async def test_a_watch_without_a_revision_begins_with_what_there_is(api: httpx.AsyncClient) -> None:
    await api.post(f"{ROOT}/hosts", json=host("h1"))
    told = await lines(api, "/hosts?watch=true&idleMilliseconds=500", 2)
    assert [each["type"] for each in told] == ["ADDED", "BOOKMARK"]
    over = await lines(api, "/hosts?watch=true&timeoutSeconds=1", 9)
    assert [each["type"] for each in over] == ["ADDED"]


async def test_a_watch_of_what_was_compacted_is_410(
    served: Daemon, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "FIRST", 60.0)
    for number in range(3):
        await api.post(f"{ROOT}/hosts", json=host(f"h{number}"))
    await served.parts.store.compact()
    old = await api.get(f"{ROOT}/hosts?watch=true&resourceVersion=1")
    assert (old.status_code, old.json()["reason"]) == (410, "Expired")


async def test_a_watch_shows_a_deployer_only_its_own(served: Daemon) -> None:
    token = await served.token("d", "deploy:shop")
    async with served.client(token) as client:
        revision = (await client.get(f"{ROOT}/apps")).json()["metadata"]["resourceVersion"]
        watching = asyncio.create_task(
            lines(client, f"/objects?watch=true&resourceVersion={revision}", 3)
        )
        async with served.client() as own:
            for name in ("blog", "shop"):
                await own.post(f"{ROOT}/apps", json=app(name))
                await own.post(f"{ROOT}/jobs", json=job(f"{name}-job", name))
        told = await watching
        names = [(each["object"]["kind"], each["object"]["metadata"]["name"]) for each in told]
        assert names[0] == ("App", "shop")
        assert all("blog" not in str(each) for each in told), names
        listed = (await client.get(f"{ROOT}/apps")).json()["items"]
        assert [each["metadata"]["name"] for each in listed] == ["shop"]


async def test_watches_end_when_the_daemon_stops(tmp_path: Path) -> None:
    async with daemon(tmp_path / "s") as one, one.client() as client:
        await client.post(f"{ROOT}/hosts", json=host("h1"))
        path = f"{ROOT}/hosts?watch=true&resourceVersion=0"
        async with client.stream("GET", path) as answer:
            told = answer.aiter_lines()
            assert json.loads(await anext(told))["type"] == "ADDED"
            one.parts.stopping.set()
            assert [line async for line in told] == []


async def test_no_value_of_a_secret_ever_comes_back(served: Daemon, api: httpx.AsyncClient) -> None:
    answers: list[httpx.Response] = []

    async def say(method: str, path: str, **options: Any) -> httpx.Response:
        answers.append(await api.request(method, f"{ROOT}{path}", **options))
        return answers[-1]

    whole = secret("token", TOKEN=CANARY, OTHER=CANARY + "2")
    await say("POST", "/secrets", json=whole, params={"dryRun": "All"})
    made = await say("POST", "/secrets", json=whole)
    assert made.status_code == 201, made.text
    assert made.json()["spec"]["data"]["TOKEN"]["stored"].startswith("hmac-sha256:")
    await say("POST", "/secrets", json=whole)
    await say("PUT", "/secrets/token", json={**whole, "spec": {"data": {"TOKEN": CANARY}}})
    await say("PUT", "/secrets/token", json={**whole, "spec": {"data": {"A B": {"value": CANARY}}}})
    await say("PUT", "/secrets/token", json={**whole, "spec": {"data": {"T": {"valeu": CANARY}}}})
    short = secret("short", TOKEN="abc")
    await say("POST", "/secrets", json=short)
    data = {"spec": {"data": {"THIRD": {"value": CANARY + "3"}}}}
    merge = {"Content-Type": MERGE}
    patched = await say("PATCH", "/secrets/token", content=json.dumps(data), headers=merge)
    assert sorted(patched.json()["spec"]["data"]) == ["OTHER", "THIRD", "TOKEN"]
    probe = [{"op": "test", "path": "/spec/data/TOKEN/value", "value": CANARY}]
    header = {"Content-Type": OPERATIONS}
    oracle = await say("PATCH", "/secrets/token", content=json.dumps(probe), headers=header)
    assert oracle.status_code == 400
    mine = {**secret("token", FOURTH=CANARY + "4")}
    path = "/secrets/token?fieldManager=ci"
    applied = await say("PATCH", path, content=json.dumps(mine), headers={"Content-Type": APPLY})
    assert "FOURTH" in applied.json()["spec"]["data"], applied.text
    kept = (await served.parts.session.vault.current(["token"]))["token"]
    assert kept == {
        "TOKEN": CANARY,
        "OTHER": CANARY + "2",
        "THIRD": CANARY + "3",
        "FOURTH": CANARY + "4",
    }
    await say("POST", "/changes", json={"objects": [secret("token", TOKEN=CANARY + "5")]})
    await say("POST", "/apply", json={"objects": [secret("token", TOKEN=CANARY + "6")]})
    for path in ("/secrets", "/secrets/token", "/secrets/token/status", "/events", "/happened"):
        await say("GET", path)
    await say("GET", "/secrets?watch=true&timeoutSeconds=1")
    await say("GET", "/objects?watch=true&resourceVersion=0&timeoutSeconds=1")
    await say("GET", f"/secrets?fieldSelector=spec.data.TOKEN.value%3D{CANARY}")
    assert all(CANARY not in each.text for each in answers), [
        (each.request.url, each.text) for each in answers if CANARY in each.text
    ]
    kept = (await served.parts.session.vault.current(["token"]))["token"]
    assert kept == {"TOKEN": CANARY + "6"}


async def test_events_tell_who_did_what(served: Daemon, api: httpx.AsyncClient) -> None:
    token = await served.token("ci", "deploy:shop")
    await api.post(f"{ROOT}/apps", json=app())
    async with served.client(token) as deployer:
        await deployer.put(f"{ROOT}/apps/shop", json=app(history=2))
        told = (await deployer.get(f"{ROOT}/happened")).json()["items"]
    said = [(each["reason"], each["message"]) for each in told]
    assert said[-1] == ("Changed", "token ci: configured app/shop through the API")
    assert said[0][0] == "Created"


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"config": {"secrets": ["blog"]}}, "spec.config.secrets"),
        ({"user": "app-blog"}, "spec.user"),
        ({"source": {"path": "/etc"}}, "spec.source"),
        ({"source": {"git": {"url": "file:///srv/blog.git"}}}, "spec.source"),
        ({"source": {"git": {"url": "/srv/blog.git"}}}, "spec.source"),
    ],
)
async def test_a_deployer_comes_by_nothing_of_others(
    served: Daemon, spec: dict[str, Any], field: str
) -> None:
    async with served.client() as own:
        await own.post(f"{ROOT}/secrets", json=secret("blog", TOKEN=CANARY))
        await own.post(f"{ROOT}/apps", json=app())
    async with served.client(await served.token("d", "deploy:shop")) as client:
        bad = app(**spec)
        change = {**spec, "source": {"package": None, **bad["spec"]["source"]}}
        tries = [
            await client.put(f"{ROOT}/apps/shop", json=bad),
            await client.post(f"{ROOT}/apply", json={"objects": [bad]}),
            await client.post(f"{ROOT}/diff", json={"objects": [bad]}),
            await patch(client, "/apps/shop", MERGE, {"spec": change}),
            await patch(client, "/apps/shop?fieldManager=x&force=true", APPLY, bad),
        ]
        for refused in tries:
            assert refused.status_code == 403, refused.text
            if "causes" in refused.json()["details"]:
                assert refused.json()["details"]["causes"][0]["field"] == field
        other = [host("h1"), secret("shop", TOKEN=CANARY), app("blog"), job("x", "blog")]
        for one in other:
            refused = await client.post(f"{ROOT}/apply", json={"objects": [app(), one]})
            assert refused.status_code == 403, one
        assert (await client.put(f"{ROOT}/apps/shop", json=app(history=2))).status_code == 200


async def test_what_an_admin_gave_an_app_stays_for_its_deployer(served: Daemon) -> None:
    given = app(config={"secrets": ["shop"]}, user="shopkeeper", source={"path": "/srv/shop"})
    async with served.client() as own:
        await own.post(f"{ROOT}/secrets", json=secret("shop", TOKEN=CANARY))
        assert (await own.post(f"{ROOT}/apps", json=given)).status_code == 201
    async with served.client(await served.token("d", "deploy:shop")) as client:
        given["spec"]["history"] = 3
        assert (await client.put(f"{ROOT}/apps/shop", json=given)).status_code == 200


async def test_a_job_cannot_be_taken_from_another_app(served: Daemon) -> None:
    async with served.client() as own:
        for name in ("shop", "blog"):
            await own.post(f"{ROOT}/apps", json=app(name))
        await own.post(f"{ROOT}/jobs", json=job("backup", "blog"))
    async with served.client(await served.token("d", "deploy:shop")) as client:
        taken = await client.put(f"{ROOT}/jobs/backup", json=job("backup", "shop"))
        assert taken.status_code == 403
        assert (await client.post(f"{ROOT}/jobs", json=job("mine", "shop"))).status_code == 201
        given_away = await client.put(f"{ROOT}/jobs/mine", json=job("mine", "blog"))
        assert given_away.status_code == 403


async def test_discovery_and_what_is_written_by_the_controller_only(api: httpx.AsyncClient) -> None:
    listed = (await api.get("/apis/steersman/v1")).json()["resources"]
    verbs = {each["name"]: each["verbs"] for each in listed}
    assert verbs["releases"] == ["get", "list", "watch"]
    assert "create" in verbs["apps"]
    assert (await api.get("/apis")).json()["groups"][0]["name"] == "steersman"
    for method in ("POST", "PUT", "DELETE"):
        assert (await api.request(method, f"{ROOT}/releases")).status_code == 405, method
    assert (await api.put(f"{ROOT}/apps/shop/status", json={})).status_code == 405
    assert (await api.get(f"{ROOT}/apps/")).status_code == 404
    assert (await api.head(f"{ROOT}/apps")).status_code == 405


async def test_deletes_heed_what_was_meant(api: httpx.AsyncClient) -> None:
    made = (await api.post(f"{ROOT}/apps", json=app())).json()["metadata"]
    path = f"{ROOT}/apps/shop"
    for wanted in ({"uid": "another"}, {"resourceVersion": made["resourceVersion"] + 1}):
        refused = await api.request("DELETE", path, json={"preconditions": wanted})
        assert refused.status_code == 409, wanted
    right = {"uid": made["uid"], "resourceVersion": made["resourceVersion"]}
    assert (await api.request("DELETE", path, json={"preconditions": right})).status_code == 200
    assert (await api.request("DELETE", path)).status_code == 404


SCALED, INVENTORY = "steersman/scale", "steersman/inventory"


async def test_a_put_undoes_no_scale_or_cordon_that_it_does_not_name(
    served: Daemon, api: httpx.AsyncClient
) -> None:
    ours = {SCALED: "web=3", INVENTORY: "repository/fleet"}
    given = app()
    given["metadata"]["annotations"] = {**ours, "team": "front"}
    await api.post(f"{ROOT}/apps", json=given)
    put = await api.put(f"{ROOT}/apps/shop", json=app(history=3))
    assert (put.status_code, put.json()["spec"]["history"]) == (200, 3)
    # What is not ours is the client's, and it sent the whole object.
    assert put.json()["metadata"]["annotations"] == ours
    named = app(history=4)
    named["metadata"]["annotations"] = {SCALED: "web=1"}
    put = await api.put(f"{ROOT}/apps/shop", json=named)
    assert put.json()["metadata"]["annotations"] == {**ours, SCALED: "web=1"}
    # A patch that takes one away says so.
    gone = {"metadata": {"annotations": {SCALED: None}}}
    patched = await patch(api, "/apps/shop", MERGE, gone)
    assert patched.json()["metadata"]["annotations"] == {INVENTORY: "repository/fleet"}


async def test_a_put_keeps_what_comes_while_it_is_made(
    served: Daemon, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    await api.post(f"{ROOT}/apps", json=app())
    store, times = served.parts.store, iter(range(2))
    admit = served.parts.controller.admit

    async def admitted(objects: Any) -> None:
        """Somebody scales the app just before it is written."""
        if (number := next(times, None)) is not None:
            scaled = app()
            scaled["metadata"]["annotations"] = {SCALED: f"web={number}"}
            await store.put(scaled)
        await admit(objects)

    monkeypatch.setattr(served.parts.controller, "admit", admitted)
    put = await api.put(f"{ROOT}/apps/shop", json=app(history=3))
    assert put.status_code == 200
    assert put.json()["metadata"]["annotations"] == {SCALED: "web=1"}
    times = iter(range(99))
    assert (await api.put(f"{ROOT}/apps/shop", json=app(history=4))).status_code == 409


APPLIED = """\
# as kubectl sends it
apiVersion: steersman/v1
kind: App
metadata:
  name: shop
  labels: {tier: front, "on": "yes"}
spec:
  source: {package: shop==1.0}
  processes:
    web:
      command: >-
        gunicorn
        shop
"""


async def test_an_apply_patch_is_yaml(api: httpx.AsyncClient) -> None:
    async def applied(text: str | bytes) -> httpx.Response:
        path = f"{ROOT}/apps/shop?fieldManager=ci"
        return await api.patch(path, content=text, headers={"Content-Type": APPLY})

    made = await applied(APPLIED)
    assert made.status_code == 201, made.text
    assert made.json()["metadata"]["labels"] == {"tier": "front", "on": "yes"}
    assert made.json()["spec"]["processes"]["web"]["command"] == ["gunicorn", "shop"]
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\n"
    for text, why in (
        (APPLIED + f"  # {CANARY}\n  history: [\n", "line "),
        (APPLIED + f"  env: {CANARY}: x\n", "line 14, column"),
        (bomb, "anchors and aliases are not read"),
        (APPLIED + "---\n" + APPLIED, "one document"),
        (b"\xff\xfe", "UTF-8"),
        ("", "one document"),
        ("- a\n", "not a JSON object"),
        ("[" * 100, "line 1"),
    ):
        refused = await applied(text)
        assert refused.status_code == 400, text
        assert why in refused.json()["message"], (text, refused.text)
        assert CANARY not in refused.text


async def test_what_is_deleted_is_what_was_meant_whatever_happens_meanwhile(
    served: Daemon, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, controller = served.parts.store, served.parts.controller
    made = (await api.post(f"{ROOT}/apps", json=app())).json()["metadata"]
    remove = controller._remove

    async def change(target: Any) -> Any:
        """Somebody asks for something else of the app while it is removed from its hosts."""
        await store.put_status("App", "shop", {"hosts": []})
        await store.put(app(history=7))
        return await remove(target)

    monkeypatch.setattr(controller, "_remove", change)
    wanted = {"preconditions": {"resourceVersion": made["resourceVersion"]}}
    refused = await api.request("DELETE", f"{ROOT}/apps/shop", json=wanted)
    assert (refused.status_code, refused.json()["reason"]) == (409, "Conflict")
    assert (await api.get(f"{ROOT}/apps/shop")).json()["spec"]["history"] == 7
    # Whoever names no version means the name, and a status alone is no change of mind.
    assert (await api.request("DELETE", f"{ROOT}/apps/shop")).status_code == 200


@pytest.mark.parametrize("where", ["app", "host"])
async def test_what_hosts_still_have_is_not_said_to_be_gone(
    served: Daemon, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    await api.post(f"{ROOT}/apps", json=app())
    lost = HostUnreachable("h1", "it does not answer")

    async def remove(target: App) -> Outcome:
        if where == "app":
            return Outcome(target.name, error=lost)
        return Outcome(target.name, hosts=(HostOutcome("h1", "unreachable", error=lost),))

    monkeypatch.setattr(served.parts.controller, "_remove", remove)
    refused = await api.request("DELETE", f"{ROOT}/apps/shop")
    assert (refused.status_code, "h1: it does not" in refused.json()["message"]) == (503, True)
    assert (await api.get(f"{ROOT}/apps/shop")).status_code == 200


@pytest.mark.parametrize("meanwhile", ["changed", "another"])
async def test_a_job_is_compared_again_in_its_apps_turn(
    served: Daemon, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, meanwhile: str
) -> None:
    store, jobs = served.parts.store, served.parts.controller.jobs
    await api.post(f"{ROOT}/apps", json=app())
    made = (await api.post(f"{ROOT}/jobs", json=job("backup", "shop"))).json()["metadata"]
    held, touched = jobs._held, list[str]()

    @asynccontextmanager
    async def late(name: str) -> AsyncIterator[None]:
        """Somebody else had the app for long, and wants something else of the job since."""
        async with held(name):
            if meanwhile == "another":
                await store.delete("Job", "backup")
            await store.put(job("backup", "shop", timeout="7m"))
            yield

    async def hosts(*args: Any, **options: Any) -> Any:
        touched.append("hosts")
        raise HostUnreachable("h1", "it is not to be asked")

    monkeypatch.setattr(jobs, "_held", late)
    monkeypatch.setattr(jobs, "_round", hosts)
    wanted = {"resourceVersion": made["resourceVersion"]} if meanwhile == "changed" else {}
    refused = await api.request("DELETE", f"{ROOT}/jobs/backup", json={"preconditions": wanted})
    assert refused.status_code == 409, refused.text
    assert touched == []
    assert (await api.get(f"{ROOT}/jobs/backup")).json()["spec"]["timeout"] == "7m"


@pytest.mark.parametrize("policy", ["Background", "Orphan"])
async def test_a_host_is_compared_again_before_anything_leaves_it(
    served: Daemon, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch, policy: str
) -> None:
    store, give_up = served.parts.store, Cordons.give_up
    made = (await api.post(f"{ROOT}/hosts", json=host("h9"))).json()["metadata"]
    await api.post(f"{ROOT}/apps", json=app())
    await store.put_status("App", "shop", {"hosts": ["h9"]})

    async def late(self: Cordons, name: str, **how: Any) -> Any:
        """Somebody wants something else of the host by now."""
        moved = host("h9")
        moved["spec"]["address"] = "192.0.2.99"
        await store.put(moved)
        return await give_up(self, name, **how)

    monkeypatch.setattr(Cordons, "give_up", late)
    wanted = {"resourceVersion": made["resourceVersion"]}
    body = {"preconditions": wanted, "propagationPolicy": policy}
    refused = await api.request("DELETE", f"{ROOT}/hosts/h9", json=body)
    assert refused.status_code == 409, refused.text
    kept = (await api.get(f"{ROOT}/hosts/h9")).json()
    assert kept["spec"]["address"] == "192.0.2.99"
    assert CORDON not in kept["metadata"].get("annotations", {})
    stored = await store.get("App", "shop")
    assert stored is not None
    assert stored.status["hosts"] == ["h9"]


async def test_what_others_change_while_a_host_is_drained_is_not_written_over(
    served: Daemon, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, memory = served.parts.store, served.parts.session.memory
    await api.post(f"{ROOT}/hosts", json=host("h9"))
    read, addresses = memory.host, ["192.0.2.99"]

    async def read_before_others_write(name: str) -> Any:
        found = await read(name)
        if found.metadata.annotations.get(CORDON) is None and addresses and reads.pop():
            moved = host("h9")
            moved["spec"]["address"] = addresses.pop()
            await store.put(moved)
        return found

    async def connect(*args: Any) -> Any:
        raise HostUnreachable("h9", "it is away")

    # The first look is no change's: only the second is written back.
    reads = [True, False]
    monkeypatch.setattr(memory, "host", read_before_others_write)
    monkeypatch.setattr(served.parts.session, "connect", connect)
    await api.request("DELETE", f"{ROOT}/hosts/h9")
    kept = (await api.get(f"{ROOT}/hosts/h9")).json()
    assert kept["spec"]["address"] == "192.0.2.99"
    assert kept["metadata"]["annotations"][CORDON] == "drained"


async def test_a_secret_is_compared_and_deleted_in_one_step(
    served: Daemon, api: httpx.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = (await api.post(f"{ROOT}/secrets", json=secret("token", TOKEN=CANARY))).json()
    note = served.parts.store.add_event

    async def changing(*args: Any, **options: Any) -> Any:
        """Somebody changes the Secret after the request was read."""
        if args[3] == "Deleted":
            stored = await served.parts.store.get("Secret", "token")
            assert stored is not None
            await served.parts.store.put(
                {**stored.object, "metadata": {"name": "token", "labels": {"a": "b"}}}
            )
        return await note(*args, **options)

    monkeypatch.setattr(served.parts.store, "add_event", changing)
    wanted = {"preconditions": {"resourceVersion": made["metadata"]["resourceVersion"]}}
    refused = await api.request("DELETE", f"{ROOT}/secrets/token", json=wanted)
    assert refused.status_code == 409
    assert (await api.get(f"{ROOT}/secrets/token")).status_code == 200
