"""Laws of the plan: from any start and after any crash, to an end state written by hand."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from copy import deepcopy
from dataclasses import fields, replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from laws.fake_host import UNITS, FakeHost, Hurt
from steersman.api.app import App
from steersman.api.host import HostSpec
from steersman.api.meta import ObjectMeta
from steersman.api.release import Release, ReleaseSpec
from steersman.control.target import Wanted, app_gone, app_target
from steersman.drivers.model import Facts
from steersman.planning.app import NameTaken, plan_app, plan_boot, plan_stop
from steersman.planning.retiring import plan_absent
from steersman.planning.seen import FileSeen
from steersman.planning.steps import (
    Commit,
    Drain,
    PassGate,
    ReloadUnits,
    Soak,
    StartProxy,
    StartUnits,
    Step,
    StopUnits,
    Switch,
    WriteFile,
    WriteSite,
)
from steersman.planning.target import AppTarget, BuildTarget

FACTS = Facts(
    proxy_group="www-data", systemd=252, socket_proxyd="/lib/systemd/systemd-socket-proxyd"
)
HOST = HostSpec(address="h1.example.com")


def app_of(**spec: Any) -> App:
    base: dict[str, Any] = {
        "source": {"path": "/src"},
        "processes": {
            "web": {"command": "gunicorn shop.wsgi", "port": "http", "count": 2},
            "worker": {"command": "celery -A shop worker"},
        },
        "routes": [{"host": "shop.example.com", "process": "web"}],
    }
    return App.model_validate({"metadata": {"name": "shop"}, "spec": base | spec})


def wanted(number: int, app: App | None = None, keep: tuple[int, ...] = ()) -> Wanted:
    app = app_of() if app is None else app
    spec = ReleaseSpec.model_validate(
        {
            "app": "shop",
            "number": number,
            "source": {"path": "/src"},
            "content": f"c{number}",
            "builds": {},
            "digest": f"{number:x}" * 64,
            "template": {
                "processes": {
                    name: each.template().model_dump() for name, each in app.spec.processes.items()
                }
            },
        }
    )
    release = Release(metadata=ObjectMeta(name=f"shop-{number}"), spec=spec)
    build = BuildTarget(f"build{number}", f"manifest{number}", "3.11", (f"manifest{number}",))
    names = frozenset(f"{n}-{f'{n:x}' * 12}" for n in keep)
    return Wanted(app, release, build, {}, names)


def target(number: int, app: App | None = None, keep: tuple[int, ...] = ()) -> AppTarget:
    return app_target(wanted(number, app, keep), HOST, FACTS, FakeHost().seen())


def plan(host: FakeHost, goal: AppTarget) -> tuple[Step, ...]:
    return plan_app(goal, host.seen())


def run(host: FakeHost, steps: tuple[Step, ...]) -> None:
    for step in steps:
        host.make(step)


def deployed(number: int, app: App | None = None) -> FakeHost:
    host = FakeHost()
    run(host, plan(host, target(number, app)))
    return host


def cut_off(host: FakeHost, planned: tuple[Step, ...]) -> Iterator[FakeHost]:
    """Yield the host as it is after none of the steps, after the first, and so on to all."""
    for survived in range(len(planned) + 1):
        crashed = deepcopy(host)
        run(crashed, planned[:survived])
        yield crashed


def units_of(number: int, web: int = 2) -> set[str]:
    stem = f"steersman-shop.web.g{number}"
    instances = {f"{stem}@{i}.service" for i in range(1, web + 1)}
    return {
        f"{stem}.socket",
        f"{stem}-hold.service",
        *instances,
        f"steersman-shop.worker.g{number}@1.service",
    }


def check_end(host: FakeHost, number: int, web: int = 2) -> None:
    """The end state, written by hand: a plan blind to its own fault still fails."""
    name = f"{number}-{f'{number:x}' * 12}"
    assert host.active == units_of(number, web)
    assert host.current == f"releases/{name}"
    assert host.links == {
        "serving": f"/srv/steersman/apps/shop/releases/{name}",
        "web.sock": f"web-g{number}.sock",
    }
    assert host.users == {"app-shop": "/srv/steersman/apps/shop/shared"}
    assert host.releases[name] == f"build{number}"
    assert f"build{number}" in host.builds
    assert host.envs[str(number)].mode == 0o600
    units = {path for path in host.files if path.startswith(f"{UNITS}/steersman-shop.")}
    stem = f"{UNITS}/steersman-shop"
    assert units == {
        f"{stem}.target",
        f"{stem}.web.g{number}.socket",
        f"{stem}.web.g{number}-hold.service",
        f"{stem}.web.g{number}@.service",
        f"{stem}.worker.g{number}@.service",
        f"{stem}.g{number}.celery.py",
    }
    assert host.files[f"{UNITS}/multi-user.target.wants/steersman-shop.target"] == (
        "-> ../steersman-shop.target"
    )
    assert "/etc/nginx/conf.d/steersman-shop.conf" in host.files
    assert "/etc/tmpfiles.d/steersman-shop.conf" in host.files


def half_of_another() -> FakeHost:
    half = deployed(1)
    run(half, plan(half, target(2))[:9])
    return half


def with_a_dead_instance() -> FakeHost:
    healed = deployed(3)
    healed.active.discard("steersman-shop.web.g3@1.service")
    return healed


def with_a_stale_file_that_was_read() -> FakeHost:
    """An instance is down, and its unit is from before an upgrade of ours."""
    host, unit = with_a_dead_instance(), "steersman-shop.web.g3@1.service"
    stale = FileSeen("0" * 64, 0o644, "root:root")
    host.files[f"{UNITS}/steersman-shop.web.g3@.service"] = host.loaded[unit] = stale
    return host


@pytest.mark.parametrize(
    "start",
    [
        FakeHost,
        lambda: deployed(1),
        half_of_another,
        with_a_dead_instance,
        with_a_stale_file_that_was_read,
    ],
)
def test_any_start_and_any_crash_reach_the_goal(start: Callable[[], FakeHost]) -> None:
    host, goal = start(), target(3)
    planned = plan(host, goal)
    assert planned
    for survived, crashed in enumerate(cut_off(host, planned)):
        run(crashed, plan(crashed, goal))
        check_end(crashed, 3)
        assert plan(crashed, goal) == (), f"not settled after a crash behind step {survived}"


def test_a_settled_host_needs_nothing() -> None:
    assert plan(deployed(1), target(1)) == ()


def test_the_old_generation_serves_until_the_new_one_passed_its_gate() -> None:
    planned = plan(deployed(1), target(2))
    kinds = [type(step) for step in planned]
    assert kinds.index(PassGate) < kinds.index(Switch) < kinds.index(StopUnits)


def test_the_fake_host_objects_to_a_plan_that_switches_before_the_gate() -> None:
    host = deployed(1)
    planned = [step for step in plan(host, target(2)) if not isinstance(step, PassGate)]
    with pytest.raises(Hurt, match="passed no gate"):
        run(host, tuple(planned))


def test_the_fake_host_objects_to_stopping_what_serves() -> None:
    host = deployed(1)
    with pytest.raises(Hurt, match="traffic goes there"):
        host.make(StopUnits("test", tuple(units_of(1)), 1.0))


def test_a_rejected_release_is_left_for_the_one_before() -> None:
    host = deployed(1)
    host.sick.add(2)
    planned = plan(host, target(2))
    gate = next(i for i, step in enumerate(planned) if isinstance(step, PassGate))
    run(host, planned[:gate])
    run(host, plan(host, target(1, keep=(1,))))
    check_end(host, 1)


def test_only_generations_that_had_traffic_are_drained() -> None:
    host = deployed(1)
    run(host, plan_boot(target(2), host.seen()))
    assert units_of(2) <= host.active, "booted beside the one that serves"
    back = plan(host, target(1))
    assert any(isinstance(step, StopUnits) for step in back)
    assert not any(isinstance(step, Drain) for step in back)
    switched = plan(host, target(2))
    until = next(at for at, step in enumerate(switched) if isinstance(step, Soak | Commit))
    run(host, switched[:until])
    drained = [step.sockets for step in plan(host, target(1)) if isinstance(step, Drain)]
    assert drained == [("/run/steersman/shop/inst/web-g2.sock", "/run/steersman/shop/web-g2.sock")]


def test_a_boot_switches_nothing_and_spares_what_runs_alone() -> None:
    alone = {"command": "celery -A shop beat", "handover": "stop"}
    app = app_of(
        processes={"web": {"command": "gunicorn shop.wsgi", "port": "http"}, "beat": alone}
    )
    host = deployed(1, app)
    was = dict(host.links), host.current, set(host.active)
    run(host, plan_boot(target(2, app), host.seen()))
    assert (host.links, host.current) == was[:2]
    assert was[2] < host.active and not any(".beat.g2" in unit for unit in host.active)
    assert plan_boot(target(2, app), host.seen()) == ()


def test_a_stop_leaves_the_new_generation_and_no_other() -> None:
    host = deployed(1)
    host.may_go_down = True
    run(host, plan_stop(target(2), host.seen()))
    assert host.active == set()
    assert plan_stop(target(2), host.seen()) == ()


def test_a_site_that_the_proxy_has_not_read_is_written_again() -> None:
    host = deployed(1)
    path = target(1).site_path
    read = host.files[path]
    assert isinstance(read, FileSeen)
    host.files[path] = replace(read, mode=0o600)
    (step,) = plan(host, target(1))
    assert isinstance(step, WriteSite) and step.why == "the proxy may not have read it"
    run(host, (step,))
    check_end(host, 1)


@pytest.mark.parametrize("state", ["inactive", "failed", "absent", "deactivating"])
def test_a_proxy_that_does_not_run_is_started_for_what_has_routes(state: str) -> None:
    host = deployed(1)
    host.proxy = state
    (step,) = plan(host, target(1))
    assert isinstance(step, StartProxy) and state in step.why
    run(host, (step,))
    check_end(host, 1)
    host.proxy = state
    routeless = deployed(1, app_of(routes=[]))
    routeless.proxy = state
    assert plan(routeless, target(1, app_of(routes=[]))) == ()


@pytest.mark.parametrize("state", ["", "active", "activating", "reloading"])
def test_a_proxy_that_runs_or_that_nobody_can_ask_for_is_left_alone(state: str) -> None:
    host = deployed(1)
    host.proxy = state
    assert plan(host, target(1)) == ()


def test_scaling_touches_neither_links_nor_site() -> None:
    host = deployed(1)
    processes = {
        "web": {"command": "gunicorn shop.wsgi", "port": "http", "count": 4},
        "worker": {"command": "celery -A shop worker"},
    }
    goal = target(1, app_of(processes=processes))
    planned = plan(host, goal)
    assert not [step for step in planned if step.phase == "switch"]
    run(host, planned)
    assert host.active == units_of(1, web=4)
    run(host, plan(host, target(1)))
    check_end(host, 1)


def test_a_soak_comes_between_the_switch_and_the_commit() -> None:
    goal = target(2, app_of(rollout={"minReadySeconds": 5}))
    phases = [step.phase for step in plan(deployed(1), goal) if step.phase != "prepare"]
    assert phases.index("switch") < phases.index("soak") < phases.index("commit")
    soaks = [step for step in plan(deployed(1), goal) if isinstance(step, Soak)]
    assert [soak.seconds for soak in soaks] == [5.0]


def test_an_instance_that_runs_something_else_is_started_anew() -> None:
    host = FakeHost()
    run(host, plan_app(target(2), host.seen()))
    web = "steersman-shop.web.g2@1.service"
    for runs, why in (("1", "release 1"), ("2!", "release 2")):
        seen = replace(host.seen(), runs={web: runs})
        reload, stop, start, gate = plan_app(target(2), seen)
        assert isinstance(stop, StopUnits)
        assert stop.units == (web,)
        assert why in stop.why
        assert isinstance(start, StartUnits)
        assert start.units == (web,)
        assert (type(reload), type(gate)) == (ReloadUnits, PassGate)
    assert plan_app(target(2), replace(host.seen(), runs={web: "2"})) == ()


def test_a_gate_waits_as_long_as_the_manifest_says() -> None:
    goal = target(2, app_of(rollout={"progressDeadlineSeconds": 7}))
    assert [s.deadline for s in plan(deployed(1), goal) if isinstance(s, PassGate)] == [7.0]


def test_no_step_but_the_env_files_holds_a_secret() -> None:
    value = "c4n4ry in the mine"
    secret = replace(wanted(1), secrets={"TOKEN": value})
    steps = plan(FakeHost(), app_target(secret, HOST, FACTS, FakeHost().seen()))
    told = {step: repr([getattr(step, each.name) for each in fields(step)]) for step in steps}
    telling = [step for step in steps if value in told[step]]
    assert [(type(s), s.path, s.mode) for s in telling if isinstance(s, WriteFile)] == [
        (WriteFile, "/srv/steersman/apps/shop/env/1", 0o600)
    ]
    assert len(telling) == 1
    assert not [step for step in steps if value in f"{step!r} {step.text} {step.why}"]


def test_a_process_that_may_run_only_once_is_stopped_first() -> None:
    beat = {"beat": {"command": "celery -A shop beat", "handover": "stop"}}
    app = app_of(processes=beat, routes=[])
    planned = plan(deployed(1, app), target(2, app))
    stop = next(i for i, step in enumerate(planned) if isinstance(step, StopUnits))
    start = next(i for i, step in enumerate(planned) if step.op == "start_units")
    assert stop < start


def test_connections_have_the_time_of_the_process_that_they_are_with() -> None:
    web = {"command": "gunicorn shop.wsgi", "port": "http", "stop": {"timeout": "20s"}}
    worker = {"command": "celery -A shop worker", "stop": {"timeout": "1h"}}
    app = app_of(processes={"web": web, "worker": worker})
    planned = plan(deployed(1, app), target(2, app))
    assert [step.deadline for step in planned if isinstance(step, Drain)] == [20.0]


def test_a_name_that_another_site_has_is_refused_before_any_step() -> None:
    app = app_of(routes=[{"host": "taken.example.com", "process": "web"}])
    with pytest.raises(NameTaken, match="sites-enabled/blog"):
        plan(FakeHost(), target(1, app))


def test_a_user_that_the_manifest_names_is_neither_made_nor_removed() -> None:
    app = app_of(user="deploy")
    planned = plan(FakeHost(), target(1, app))
    assert not [step for step in planned if step.op == "ensure_user"]
    assert b"User=deploy\n" in next(
        step.data
        for step in planned
        if isinstance(step, WriteFile) and step.path.endswith("web.g1@.service")
    )


def test_old_releases_go_and_kept_ones_stay() -> None:
    host = deployed(1)
    for number in (2, 3):
        keep = tuple(range(1, number + 1))
        run(host, plan(host, target(number, keep=keep)))
    assert len(host.releases) == 3
    run(host, plan(host, target(4, keep=(3, 4))))
    assert {name.partition("-")[0] for name in host.releases} == {"3", "4"}
    assert host.builds == {"build3", "build4"}
    assert set(host.envs) == {"3", "4"}


def booted(files: dict[str, str]) -> tuple[set[str], set[str]]:
    """Return the units that a boot by these files starts, and those of them that links lead to."""
    units = set(re.findall(r"^Wants=(\S+)$", files[f"{UNITS}/steersman-shop.target"], re.M))
    links = re.findall(
        r"^L\+ \S+/(\w+)\.sock .* \1-g(\d+)\.sock$",
        files["/etc/tmpfiles.d/steersman-shop.conf"],
        re.M,
    )
    assert links
    return units, {f"steersman-shop.{process}.g{number}.socket" for process, number in links}


def test_a_boot_between_any_two_steps_starts_what_traffic_goes_to() -> None:
    host, files, both = FakeHost(), dict[str, str](), 0
    run(host, planned := plan(host, target(1)))
    files |= {step.path: step.data.decode() for step in planned if isinstance(step, WriteFile)}
    for step in plan(host, target(2)):
        if isinstance(step, WriteFile):
            files[step.path] = step.data.decode()
        units, served = booted(files)
        assert served <= units, f"nothing answers after {step.text}"
        both += len({unit for unit in units if unit.endswith(".socket")}) == 2
        run(host, (step,))
    assert both > 0
    assert booted(files) == (units_of(2), {"steersman-shop.web.g2.socket"})


def test_a_deploy_that_was_cut_off_between_its_boot_files_ends_as_any() -> None:
    host = deployed(1)
    planned = plan(host, target(2))
    for crashed in cut_off(host, planned):
        run(crashed, plan(crashed, target(2)))
        check_end(crashed, 2)
        assert plan(crashed, target(2)) == ()


def test_removing_leaves_no_trace_after_any_crash() -> None:
    host = deployed(1)
    gone = app_gone(app_of(), HOST, FACTS)
    planned = plan_absent(gone, host.seen())
    for crashed in cut_off(host, planned):
        run(crashed, plan_absent(gone, crashed.seen()))
        assert (crashed.users, crashed.files, crashed.active) == ({}, {}, set())
        assert (crashed.dirs, crashed.releases, crashed.links) == (set(), {}, {})


def with_stale_units() -> FakeHost:
    """Return a host of release 1 whose unit files and supervisor say something else of it."""
    host, stale = deployed(1), FileSeen("0" * 64, 0o644, "root:root")
    host.files |= {file.path: stale for file in target(1).unit_files}
    host.loaded = dict.fromkeys(host.active, stale)
    return host


def test_units_that_run_by_other_files_are_read_again() -> None:
    host = with_stale_units()
    run(host, plan(host, target(1)))
    assert host.loaded == {unit: host.file_of(unit) for unit in host.active}


def test_units_that_the_supervisor_knows_are_read_again_before_they_start() -> None:
    host = with_stale_units()
    host.active.clear()
    planned = plan(host, target(1))
    for crashed in cut_off(host, planned):
        run(crashed, plan(crashed, target(1)))
        check_end(crashed, 1)


@settings(max_examples=60)
@given(
    moves=st.lists(
        st.tuples(
            st.integers(min_value=1, max_value=5),
            st.integers(min_value=1, max_value=3),
            st.integers(min_value=0, max_value=40),
        ),
        min_size=1,
        max_size=6,
    )
)
def test_any_history_of_releases_scales_and_crashes_hurts_nobody(
    moves: list[tuple[int, int, int]],
) -> None:
    host = FakeHost()
    for number, count, survived in moves:
        web = {"command": "gunicorn shop.wsgi", "port": "http", "count": count}
        app = app_of(processes={"web": web, "worker": {"command": "celery -A shop worker"}})
        run(host, plan(host, target(number, app))[:survived])
    number, count, _ = moves[-1]
    run(host, plan(host, target(number, app)))
    check_end(host, number, web=count)
    assert host.active == units_of(number, count)
