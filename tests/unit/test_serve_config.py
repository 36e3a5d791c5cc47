"""serve.yaml: strict, and every mistake with its line and column."""

from pathlib import Path

import pytest

from steersman.manifests import ManifestErrors
from steersman.server.config import read_config
from steersman.telemetry import errorlog, samples


def written(folder: Path, text: str) -> Path:
    path = folder / "serve.yaml"
    path.write_text(text)
    return path


def test_no_file_and_an_empty_one_say_nothing(tmp_path: Path) -> None:
    assert read_config(tmp_path / "serve.yaml").hooks == {}
    assert read_config(written(tmp_path, "# nothing\n---\n")).hooks == {}


def test_a_hook_is_read(tmp_path: Path) -> None:
    text = "hooks:\n  shop: {provider: github, secret: shop-hook, app: shop, maxBody: 1M}\n"
    hook = read_config(written(tmp_path, text)).hooks["shop"]
    assert (hook.key, hook.max_body) == ("App/shop", 10**6)


@pytest.mark.parametrize(
    ("text", "is_root", "walls"),
    [
        ("", True, "required"),
        ("", False, "preferred"),
        ("git: {listen: ':2222'}\n", False, "required"),
        ("builds: {walls: preferred}\n", True, "preferred"),
        ("git: {listen: ':2222'}\nbuilds: {walls: preferred}\n", False, "preferred"),
        ("builds: {walls: required}\n", False, "required"),
    ],
)
def test_walls_are_required_of_root_and_where_others_push(
    tmp_path: Path, text: str, is_root: bool, walls: str
) -> None:
    assert read_config(written(tmp_path, text)).walls(is_root=is_root) == walls


KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIMxcbXDmgXCvm7ePnrsrdX9H1laFsTb185bjPHelCjwy ann"


def test_git_push_is_read(tmp_path: Path) -> None:
    keys = f"keys: {{ann: {{key: '{KEY}', apps: [shop]}}}}"
    text = f"git:\n  listen: ':2222'\n  {keys}\n  gate: build\n  maxPack: 10M\n"
    git = read_config(written(tmp_path, text)).git
    assert git is not None
    assert (git.place, git.gate, git.max_pack) == (("", 2222), "build", 10**7)
    assert git.keys["ann"].may("shop")
    assert not git.keys["ann"].may("blog")
    text = "git: {listen: '[::1]:2222', keys: {root: {key: '" + KEY + "', admin: true}}}\n"
    git = read_config(written(tmp_path, text)).git
    assert git is not None
    assert (git.place, git.gate) == (("::1", 2222), "rollout")
    assert git.keys["root"].may("anything")


def test_how_much_is_kept_is_read(tmp_path: Path) -> None:
    usual = read_config(tmp_path / "serve.yaml").keep
    assert (usual.samples.bounds, usual.errors.bounds) == (samples.Bounds(), errorlog.Bounds())
    text = (
        "keep:\n  samples: {series: 50, size: 1Gi}\n"
        "  errors: {groups: 20000, groupsOfApp: 10, age: 7d}\n"
    )
    keep = read_config(written(tmp_path, text)).keep
    assert keep.samples.bounds == samples.Bounds(series=50, size=2**30)
    errors = keep.errors.bounds
    assert (errors.groups, errors.groups_of_app, errors.age) == (20_000, 10, 7 * 24 * 3600)
    assert errors.size >= errors.groups * errors.report
    few = read_config(written(tmp_path, "keep: {errors: {groups: 1}}\n")).keep.errors.bounds
    assert few.size == errorlog.Bounds().size, "a file that is full has to be written to shrink"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("git: {listen: 2222}\n", "git.listen: found the number 2222"),
        ("git: {listen: '2222'}\n", 'git.listen: found "2222"; allowed: host:port'),
        ("git: {listen: ':70000'}\n", 'git.listen: found ":70000"'),
        ("builds: {walls: no}\n", 'builds.walls: found "no"; allowed: required or preferred'),
        ("git: {}\n", "git.listen: found nothing, and it is required"),
        ("git: {listen: ':1', gate: buil}\n", "did you mean"),
        ("git: {listen: ':1', keys: {a: {key: x, apps: [b]}}}\n", 'git.keys.a.key: found "x"'),
        (
            f"git: {{listen: ':1', keys: {{a: {{key: '{KEY}'}}}}}}\n",
            "git.keys.a: found neither apps nor admin; allowed: apps: [shop] or admin: true",
        ),
        (
            f"git: {{listen: ':1', keys: {{a: {{key: '{KEY}', apps: [Shop]}}}}}}\n",
            'git.keys.a.apps[0]: found "Shop"',
        ),
        ("hook: {}\n", ':1:1: hook: found the unknown key "hook"'),
        ("hooks:\n  shop:\n    provider: githup\n", ':3:15: hooks.shop.provider: found "githup"'),
        ("hooks:\n  shop:\n    provider: githup\n", "did you mean github?"),
        ("hooks:\n  shop: {provider: github, app: shop}\n", "hooks.shop.secret: found nothing"),
        ("hooks:\n  Shop: {}\n", ':2:3: hooks.Shop: found the key "Shop"'),
        ("poll: {interval: 1s}\n", "poll.interval: found 1s; allowed: at least 5s"),
        ("keep: {samples: {size: 1M}}\n", "at least 16Mi"),
        ("keep: {samples: {series: 0}}\n", "keep.samples.series: found the number 0"),
        ("keep: {errors: {age: 0s}}\n", "keep.errors.age: found no time at all"),
        ("hooks: [\n", "serve.yaml:2:1: "),
        ("hooks: {}\nhooks: {}\n", 'found the key "hooks" again, first on line 1'),
        ("hooks: {}\n---\nhooks: {}\n", ":3:1: found a second document"),
        ("- hooks\n", ":1:1: found a list; allowed: a mapping"),
        ("hooks: \x07\n", "found the character U+0007"),
    ],
)
def test_a_mistake_is_shown_at_its_place(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(ManifestErrors) as raised:
        read_config(written(tmp_path, text))
    assert told in str(raised.value)


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestErrors, match="a file that can be read"):
        read_config(tmp_path)
