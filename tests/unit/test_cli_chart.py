"""steer chart on the command line: what it prints, remembers and refuses.

Its chart makes Secrets, for which no host is needed."""

import io
import json
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from laws.daemon import in_thread
from steersman.cli.app import Tools, run

SECRETS = """
{% for name, said in values.said | items %}
apiVersion: steersman/v1
kind: Secret
metadata:
  name: {{ release.name }}-{{ name }}
  labels: {said: {{ said | quote }}, port: "{{ values.port }}"}
spec: {data: {VALUE: {fromEnv: CHART_SECRET}}}
---
{% endfor %}
"""
NOTES = (
    "{{ 'upgraded' if release.isUpgrade else 'installed' }} as revision {{ release.revision }}\n"
)
SCHEMA = {"properties": {"port": {"type": "integer", "maximum": 65535, "description": "of SSH"}}}


@pytest.fixture
def chart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("CHART_SECRET", "hunter2-hunter2")
    for kind, name in (("STATE", ""), ("CONFIG", "config"), ("CACHE", "cache")):
        monkeypatch.setenv(f"XDG_{kind}_HOME", str(tmp_path / name))
    folder = Path("fleet")
    (folder / "templates").mkdir(parents=True)
    (folder / "Chart.yaml").write_text(
        "{apiVersion: steersman/v1, name: fleet, version: 1.2.3, appVersion: '9'}"
    )
    (folder / "values.yaml").write_text("port: 22\nsaid: {a: first}\n")
    (folder / "values.schema.json").write_text(json.dumps(SCHEMA))
    (folder / "templates/secrets.yaml").write_text(SECRETS)
    (folder / "templates/NOTES.txt").write_text(NOTES)
    return folder


Said = Callable[..., str]


@pytest.fixture
def steer(chart: Path, capsys: pytest.CaptureFixture[str]) -> Said:
    def said(*args: str, code: int = 0) -> str:
        ended = run([*args])
        captured = capsys.readouterr()
        assert ended == code, captured.out + captured.err
        return captured.out + captured.err

    return said


def secrets(steer: Said) -> dict[str, tuple[str, str]]:
    """Return what each Secret was told, and its port."""
    found = json.loads(steer("get", "secrets", "-o", "json"))
    items = found["items"] if found["kind"] == "List" else [found]
    labels = {each["metadata"]["name"]: each["metadata"]["labels"] for each in items}
    return {name: (label["said"], label["port"]) for name, label in labels.items()}


@pytest.fixture(params=["here", "by a daemon"])
def anywhere(request: pytest.FixtureRequest, tmp_path: Path, steer: Said) -> Iterator[Said]:
    """A steer that does its work itself, and one that renders here and has a daemon do the rest."""
    if request.param == "here":
        yield steer
        return
    with in_thread(tmp_path / "steersman"):
        assert Tools().daemon() is not None
        yield steer


def test_an_installation_lives_from_install_to_uninstall(anywhere: Said) -> None:
    steer = anywhere
    said = steer("chart", "install", "lab", "fleet")
    assert "secret/lab-a created" in said
    assert "NAME: lab\nREVISION: 1\nSTATUS: deployed\nCHART: fleet-1.2.3\n" in said
    assert said.endswith("NOTES:\ninstalled as revision 1\n")

    said = steer("chart", "upgrade", "lab", "fleet", "--set", "said.b=second,said.a=null")
    assert "secret/lab-b created" in said and "secret/lab-a deleted" in said
    assert "upgraded as revision 2" in said
    assert secrets(steer) == {"lab-b": ("second", "22")}

    header, row = steer("chart", "list").splitlines()
    assert header.split() == ["NAME", "REVISION", "UPDATED", "STATUS", "CHART", "APP", "VERSION"]
    assert row.split()[:2] + row.split()[-3:] == ["lab", "2", "deployed", "fleet-1.2.3", "9"]

    said = steer("chart", "rollback", "lab")
    assert "DESCRIPTION: Rollback to 1" in said and "secret/lab-b deleted" in said
    assert secrets(steer) == {"lab-a": ("first", "22")}
    rows = [line.split()[:-1] for line in steer("get", "installations").splitlines()[1:]]
    assert rows[1] == ["lab-2", "lab", "2", "superseded", "fleet-1.2.3"]
    said = steer("describe", "installation/lab-2")
    assert "Objects:      secret/lab-b\n" in said and "    a: null\n    b: second\n" in said
    states = [line.split()[4] for line in steer("chart", "history", "lab").splitlines()[1:]]
    assert states == ["superseded", "superseded", "deployed"]

    assert 'installation "lab" uninstalled' in steer("chart", "uninstall", "lab")
    assert secrets(steer) == {} and "lab" not in steer("chart", "list", "--all")
    assert "is not installed" in steer("chart", "history", "lab", code=1)
    assert "is not installed" in steer("chart", "uninstall", "lab", code=1)
    steer("chart", "uninstall", "lab", "--ignore-not-found")


def test_an_upgrade_keeps_or_forgets_values_as_helm_does(steer: Said) -> None:
    def after(*args: str) -> tuple[str, str]:
        steer("chart", "upgrade", "lab", "fleet", *args)
        return secrets(steer)["lab-a"]

    steer("chart", "install", "lab", "fleet", "--set", "port=2222")
    assert after() == ("first", "2222")
    assert after("--reuse-values", "--set", "said.a=one") == ("one", "2222")
    assert after() == ("one", "2222")
    assert after("--set", "said.a=two") == ("two", "22")
    assert after("--reset-values") == ("first", "22")
    history = json.loads(steer("chart", "history", "lab", "-o", "json"))["items"]
    assert [each["spec"]["values"] for each in history][1:3] == [
        {"port": 2222},
        {"port": 2222, "said": {"a": "one"}},
    ]
    said = steer("chart", "upgrade", "lab", "fleet", "--reuse-values", "--reset-values", code=2)
    assert "give one" in said


def test_values_are_laid_over_each_other_in_helms_order(
    steer: Said, monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("one.yaml").write_text("port: 1\nsaid: {a: one, b: one, c: one}\n")
    Path("text").write_text("from-a-file")
    given = io.TextIOWrapper(io.BytesIO(b"said: {b: two, c: two, d: two}"))
    monkeypatch.setattr("sys.stdin", given)
    said = steer(
        "chart", "template", "lab", "fleet", "--set", "said.d=set", "-f", "one.yaml", "-f", "-",
        "--set-json", '{"said": {"d": "json", "e": "json"}}', "--set-string", "said.f=007",
        "--set-file", "said.g=text",
    )  # fmt: skip
    labels = [line.split('"')[1::2] for line in said.splitlines() if "labels" in line]
    words = ["one", "two", "two", "set", "json", "007", "from-a-file"]
    assert labels == [[word, "1"] for word in words]


def test_what_does_not_fit_names_its_value_and_where_it_was_said(steer: Said) -> None:
    Path("big.yaml").write_text("# ours\nport: 70000\n")
    said = steer("chart", "install", "lab", "fleet", "-f", "big.yaml", code=1)
    assert "big.yaml:2:1: port: found 70000; allowed: 65535 or less; of SSH" in said
    said = steer("chart", "install", "lab", "fleet", "--set-string", "port=22", code=1)
    assert '--set-string port=22: port: found "22"; allowed: a whole number' in said
    said = steer("chart", "install", "lab", "fleet", "--set", "a[1]=x", "--set", "b", code=1)
    assert "--set a[1]=x: found item [1] of a list of 0" in said
    assert '--set b: found the key "b" without a value' in said
    said = steer("chart", "install", "lab", "fleet", "-f", "none.yaml", code=1)
    assert "none.yaml: found the file none.yaml: No such file" in said
    assert "NAME" in steer("chart", "list") and secrets(steer) == {}


def test_a_dry_run_shows_and_changes_nothing(anywhere: Said) -> None:
    steer = anywhere
    assert "+++ secret/lab-a" in steer("chart", "install", "lab", "fleet", "--dry-run")
    assert secrets(steer) == {} and steer("chart", "list", "-a").count("\n") == 1
    steer("chart", "install", "lab", "fleet")
    said = steer(
        "chart", "upgrade", "lab", "fleet", "--dry-run", "--set-json", 'said={"a":null,"b":"x"}'
    )
    assert "secret/lab-a pruned (dry run)" in said and "+++ secret/lab-b" in said
    assert list(secrets(steer)) == ["lab-a"]


def test_upgrade_installs_only_when_asked(steer: Said) -> None:
    assert "lab is not installed" in steer("chart", "upgrade", "lab", "fleet", code=1)
    assert "installed as revision 1" in steer("chart", "upgrade", "--install", "lab", "fleet")
    assert "upgraded as revision 2" in steer("chart", "upgrade", "-i", "lab", "fleet")
    assert "lab is there already" in steer("chart", "install", "lab", "fleet", code=1)


def test_an_uninstalled_one_with_its_history_is_listed_only_with_all(steer: Said) -> None:
    steer("chart", "install", "lab", "fleet")
    steer("chart", "uninstall", "lab", "--keep-history")
    assert "lab" not in steer("chart", "list") and "uninstalled" in steer("chart", "list", "--all")
    # It can be installed anew, and its numbers go on.
    assert "installed as revision 2" in steer("chart", "install", "lab", "fleet")


def test_template_shows_what_was_asked_for(steer: Said, chart: Path) -> None:
    (chart / "templates/other.yaml").write_text(SECRETS.replace("release.name", "'other'"))
    (chart / "templates/none.yaml").write_text("{% if false %}x{% endif %}\n# nothing\n---\n")
    said = steer("chart", "template", "fleet", "--show-only", "templates/other.yaml")
    assert said.startswith("---\n# Source: templates/other.yaml\n") and "release-name" not in said
    assert "none.yaml" not in steer("chart", "template", "fleet")
    said = steer("chart", "template", "fleet", "-s", "templates/none.yaml", code=1)
    assert "nothing was rendered from it" in said and "templates/secrets.yaml" in said
    assert "no Chart.yaml" in steer("chart", "template", "x", "nowhere", code=1)
    assert "no more" in steer("chart", "template", "x", "y", "z", code=2)


def test_what_a_template_renders_cannot_steer_a_terminal(steer: Said, chart: Path) -> None:
    (chart / "templates/NOTES.txt").write_text("{{ '\\x1b]0;owned\\x07' }}")
    assert "\x1b" not in steer("chart", "install", "lab", "fleet")


def test_a_new_chart_lints_and_is_made_once(steer: Said) -> None:
    said = steer("chart", "create", "charts/shop")
    assert "created charts/shop/templates/app.yaml" in said
    assert "0 with problems" in steer("chart", "lint", "charts/shop")
    assert "name: shop" in steer("chart", "template", "shop", "charts/shop")
    assert "is there already" in steer("chart", "create", "charts/shop", code=1)
    assert "lower-case letters" in steer("chart", "create", "Shop", code=1)


def test_a_name_that_nothing_can_have_is_refused(steer: Said) -> None:
    assert 'the name found "Lab"' in steer("chart", "install", "Lab", "fleet", code=2)
