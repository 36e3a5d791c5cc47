"""Where processes send their StatsD: a port each, and nothing for who has said so already."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from laws.fake_host import FakeHost
from laws.test_planning import FACTS, HOST, app_of, wanted
from steersman.api.app import App
from steersman.api.meta import ObjectMeta
from steersman.api.release import Release
from steersman.control.release import release_digest
from steersman.control.statsd import ONCE, PORTS, RUNNING, once_envs, statsd_ports
from steersman.control.target import Wanted, app_target

HAS = b'STATSD_HOST="127.0.0.1"\nSTATSD_PORT="12345"\n'


def release(app: str, number: int, **statsd: int) -> Release:
    made = wanted(number).release
    spec = made.spec.model_copy(update={"app": app, "statsd": statsd})
    return Release(metadata=ObjectMeta(name=f"{app}-{number}"), spec=spec)


def files(made: Wanted) -> dict[str, bytes]:
    target = app_target(made, HOST, FACTS, FakeHost().seen())
    return {file.path.rpartition("/")[2]: file.data for file in target.env_files}


def with_ports(app: App | None = None, secrets: dict[str, str] | None = None) -> Wanted:
    made = wanted(8, app)
    spec = made.release.spec
    processes = spec.template.processes
    if app is not None:
        processes = {name: each.template() for name, each in app.spec.processes.items()}
    update = {"config": (app or made.app).spec.config, "processes": processes}
    template = spec.template.model_copy(update=update)
    ports = {"web": 12345, "worker": 12346}
    spec = spec.model_copy(update={"template": template, "statsd": ports})
    return replace(
        made, release=made.release.model_copy(update={"spec": spec}), secrets=secrets or {}
    )


def test_each_process_gets_a_port_that_no_other_has() -> None:
    spec = release("shop", 8).spec
    alone = statsd_ports(spec, [])
    assert set(alone) == {"web", "worker", ONCE} and len(set(alone.values())) == 3
    assert all(port in PORTS for port in alone.values())
    assert statsd_ports(spec, [release("shop", 8, **alone)]) == alone, "asked again, the same"
    other = statsd_ports(spec, [release("desk", 1, **alone)])
    assert set(other.values()).isdisjoint(alone.values())
    # What cannot run any more holds nothing.
    later = [release("desk", 2 + each) for each in range(RUNNING)]
    assert statsd_ports(spec, [release("desk", 1, **alone), *later]) == alone


def test_where_all_are_taken_nobody_gets_anothers() -> None:
    ports = list(PORTS)
    many = [release(f"a{n}", 1, web=port) for n, port in enumerate(ports[:-1])]
    assert statsd_ports(release("shop", 8).spec, many) == {"web": ports[-1]}


def test_the_variables_are_in_the_processes_own_files() -> None:
    found = files(with_ports())
    assert (found["8.web"], found["8"]) == (HAS, b"")
    assert b'STATSD_PORT="12346"' in found["8.worker"]
    assert b"/env/8.web" in unit(with_ports())


def test_a_release_from_before_is_as_it_was() -> None:
    assert set(files(wanted(8))) == {"8"}
    assert b"/env/8.web" not in unit(wanted(8))


def test_ports_make_no_release_differ() -> None:
    app = app_of()
    assert release_digest(app, "c", {}) == release_digest(app, "c", {})
    old = release("shop", 8).model_dump()
    del old["spec"]["statsd"]
    assert Release.model_validate(old).spec == release("shop", 8).spec


def test_what_the_app_says_itself_wins() -> None:
    own: list[tuple[dict[str, Any], dict[str, str]]] = [
        ({"config": {"env": {"STATSD_HOST": "metrics.example.com"}}}, {}),
        ({"config": {"env": {"STATSD_PORT": "8125"}}}, {}),
        ({}, {"STATSD_HOST": "secret.example.com"}),
    ]
    for spec, secrets in own:
        assert set(files(with_ports(app_of(**spec), secrets))) == {"8"}, (spec, secrets)
    web = {"command": "gunicorn shop.wsgi", "port": "http", "env": {"STATSD_HOST": "there"}}
    found = files(with_ports(app_of(processes={"web": web, "worker": {"command": "x"}})))
    assert found["8.web"] == b'STATSD_HOST="there"\n'
    assert found["8.worker"].startswith(b'STATSD_HOST="127.0.0.1"')


def test_what_runs_once_has_a_file_that_no_process_can_have() -> None:
    ports = {"web": 12345, "worker": 12346, ONCE: 12347}
    made = with_ports()
    spec = made.release.spec.model_copy(update={"statsd": ports})
    made = replace(made, release=made.release.model_copy(update={"spec": spec}))
    assert files(made)["8.@once"] == HAS.replace(b"12345", b"12347")
    assert b"/env/8.@once" not in unit(made), "of no process"
    assert list(once_envs(spec, {})) == ["8.@once"]
    assert once_envs(spec, {"STATSD_PORT": "8125"}) == {}, "the app says so itself"


def test_a_process_of_that_name_keeps_its_port_for_itself() -> None:
    made = with_ports(app_of(processes={ONCE: {"command": "x"}}, routes=[]))
    ports = statsd_ports(made.release.spec, [])
    assert set(ports) == {ONCE}
    spec = made.release.spec.model_copy(update={"statsd": ports})
    assert once_envs(spec, {}) == {}


def unit(made: Wanted) -> bytes:
    target = app_target(made, HOST, FACTS, FakeHost().seen())
    return b"".join(file.data for file in target.unit_files if ".web." in file.path)
