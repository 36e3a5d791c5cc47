"""Secrets are seen nowhere: canaries go through every verb, and then everything is searched."""

from __future__ import annotations

import base64
import hashlib
import stat
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from acceptance.canary import (
    CRASH,
    KEYS,
    LIVE,
    Place,
    Scene,
    Watcher,
    document,
    embedded,
    env_files,
    holders,
    is_open,
    needles,
    on_lab,
)
from acceptance.steer import Repo, Steer, scrub
from lab.lab import Lab
from steersman.api.secret import MASK


@pytest.fixture(scope="module", params=["embedded", pytest.param("lab", marks=pytest.mark.lab)])
def place(request: pytest.FixtureRequest) -> Iterator[Place]:
    if request.param == "embedded":
        with tempfile.TemporaryDirectory(prefix="steer-") as folder:
            yield from embedded(Path(folder, "h"))
        return
    lab: Lab = request.getfixturevalue("lab")
    host = lab.hosts[0]
    yield on_lab(host, lab)
    scrub(host)


@pytest.fixture(scope="module")
def watcher() -> Iterator[Watcher]:
    made = Watcher()
    thread = threading.Thread(target=made.run)
    thread.start()
    yield made
    made.end()
    thread.join()


@pytest.fixture(scope="module")
def scene(
    place: Place, watcher: Watcher, cache: Path, tmp_path_factory: pytest.TempPathFactory
) -> Scene:
    """Deploy, rotate, and fail in the ways that show an app's output."""
    folder = tmp_path_factory.mktemp("canary")
    repos = {
        name: Repo(folder / "repos" / name, {"main.py": LIVE, "requirements.txt": ""})
        for name in ("quiet", "loud", "other")
    }
    steer = Steer(folder, folder / "cache")
    made = Scene(steer, place, repos)
    made.manifests.mkdir(mode=0o700)
    (made.manifests / "host.yaml").write_text(yaml.safe_dump(place.manifest))
    for name, repo in repos.items():
        words = "python main.py" + (" loud" if name == "loud" else "")
        app = document(
            "App",
            name,
            source={"git": {"url": str(repo.path), "ref": "main"}},
            processes={"worker": {"command": words}},
            config={"secrets": [] if name == "other" else [name]},
            rollout={"minReadySeconds": 0},
        )
        (made.manifests / f"{name}.yaml").write_text(yaml.safe_dump(app))
    for name in ("quiet", "loud"):
        made.plant(name)
    watcher.wanted = [each for value in made.planted() for each in needles(value)]
    made.run("diff", "-f", str(made.manifests), expect=1)
    made.apply()
    return made


def test_1_a_new_value_makes_new_releases_of_exactly_the_apps_that_use_it(
    scene: Scene, watcher: Watcher
) -> None:
    assert [scene.states(name) for name in scene.repos] == [["deployed"]] * 3
    before = scene.run("describe", "secret/quiet").out
    scene.plant("quiet")
    watcher.wanted = [each for value in scene.planted() for each in needles(value)]
    shown = scene.run("diff", "-f", str(scene.manifests), expect=1).out
    assert shown.count("hmac-sha256:") == 2 * len(KEYS), shown
    scene.apply()
    assert scene.states("quiet") == ["superseded", "deployed"]
    assert scene.states("loud") == scene.states("other") == ["deployed"]
    after = scene.run("describe", "secret/quiet").out
    assert "(the newest)" in after and "quiet   2" in after, after
    assert before.splitlines()[-6:] != after.splitlines()[-6:]
    assert "unchanged" in scene.apply().out


def test_2_a_failing_gate_shows_what_the_app_said_without_its_secrets(scene: Scene) -> None:
    scene.repos["loud"].commit({"main.py": CRASH})
    failed = scene.apply(expect=1)
    assert "its last lines" in failed.err and "my SEALED is " + MASK in failed.err, failed.said
    assert scene.states("loud") == ["deployed", "rejected"]


def test_3_a_failing_release_command_is_shown_without_its_secrets(scene: Scene) -> None:
    file = scene.manifests / "loud.yaml"
    app = yaml.safe_load(file.read_text())
    app["spec"]["release"] = {"command": ["python", "main.py"]}
    file.write_text(yaml.safe_dump(app))
    failed = scene.apply(expect=1)
    assert "release command exited with 3" in failed.err, failed.said
    assert "my SEALED is " + MASK in failed.err
    scene.repos["loud"].commit({"main.py": LIVE})
    del app["spec"]["release"]
    file.write_text(yaml.safe_dump(app))
    scene.apply()


def test_4_a_bad_value_is_taken_back_and_the_old_release_keeps_its_own(scene: Scene) -> None:
    """The old release starts with its own values again, also after a reboot."""
    good, envs = scene.loud[-3:], env_files(scene.place, "loud")
    digest = hashlib.sha256(good[1].encode()).hexdigest()
    # It also prints the old value, which is no secret of the new release any more.
    kept = f"base64.b85decode({base64.b85encode(good[1].encode())!r}).decode()"
    check = "import hashlib\nseen = hashlib.sha256(os.environ['FILED'].encode()).hexdigest()\n"
    check += f"if seen != {digest!r}: print('before it was', {kept}, flush=True)\n"
    picky = LIVE.replace("time.sleep", f"{check}assert seen == {digest!r}\ntime.sleep")
    scene.repos["loud"].commit({"main.py": picky})
    scene.apply()
    running = {path: path.read_bytes() for path in env_files(scene.place, "loud") - envs}
    assert running
    scene.plant("loud")
    failed = scene.apply(expect=1)
    assert "was rejected" in failed.err and "before it was " + MASK in failed.err, failed.said
    assert {path: path.read_bytes() for path in running} == running
    again = scene.apply(expect=1)
    assert "is not tried again" in again.err
    assert {path: path.read_bytes() for path in running} == running


def test_5_every_way_to_look_shows_none(scene: Scene) -> None:
    for name in ("quiet", "loud"):
        scene.run("describe", f"app/{name}", f"secret/{name}")
        scene.run("rollout", "status", f"app/{name}", expect=None)
        for number in range(1, len(scene.states(name)) + 1):
            scene.run("rollout", "history", f"app/{name}", f"--revision={number}")
            scene.run("describe", f"release/{name}-{number}")
        scene.run("diff", f"app/{name}", expect=None)
        masked = scene.run("logs", f"app/{name}", "--tail", "200").out
        assert (MASK in masked) == (name == "loud"), masked
    for output in ("wide", "json", "yaml"):
        for kind in ("all", "events"):
            scene.run("get", kind, "-o", output)
    refused = scene.run("secret", "reveal", "secret/quiet", expect=1)
    assert "--piped" in refused.err
    revealed = scene.steer.run("secret", "reveal", "secret/quiet", "--piped", "SEALED").out
    assert revealed == scene.quiet[-3] + "\n"


def test_6_nothing_that_was_said_holds_a_value(scene: Scene) -> None:
    text = "\n".join(scene.said).encode()
    assert len(text) > 10_000 and b"hmac-sha256:" in text
    assert [one for value in scene.planted() for one in needles(value) if one in text] == []


def test_7_no_command_line_held_a_value(scene: Scene, watcher: Watcher) -> None:
    assert watcher.looks > 50
    assert watcher.found == set()


def test_8_the_controller_keeps_none_in_the_clear(scene: Scene) -> None:
    state = scene.steer.folder / "state"
    for folder in (state, scene.steer.folder / "cache"):
        assert holders([folder], scene.planted()) == {}
    modes = {stat.S_IMODE(p.lstat().st_mode) for p in state.rglob("*") if p.is_file()}
    assert modes == {0o600}


def test_9_hosts_hold_them_only_where_the_supervisor_reads_them(scene: Scene) -> None:
    place = scene.place
    allowed = env_files(place, "quiet") | env_files(place, "loud")
    held = holders(place.folders, scene.quiet)
    assert held and set(held) <= allowed, set(held) - allowed
    for path in allowed:
        seen = path.stat()
        assert stat.S_IMODE(seen.st_mode) == 0o600
        assert not place.is_system or seen.st_uid == seen.st_gid == 0
    # An app that prints its secrets has them in its own log, which only its admins read.
    elsewhere = set(holders(place.folders, scene.loud)) - allowed
    assert all(any(log in path.parents for log in place.logs) for path in elsewhere), elsewhere
    assert [path for path in elsewhere if is_open(path, place.folders)] == []
    said = place.said()
    assert [one for value in scene.quiet for one in needles(value) if one in said] == []
