"""What charts render, and all that is said of broken ones: tests/golden/charts holds both.

To accept new texts, delete the .txt files and run this once: it writes those that are missing.
"""

from pathlib import Path

import pytest
import yaml

from steersman.api.app import App
from steersman.charting.chart import read_chart
from steersman.charting.render import Installing, render
from steersman.charting.values import flagged, value_from
from steersman.cli.app import run
from steersman.manifests import load

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests/golden/charts"
CHARTS = sorted(path.parent.name for path in ROOT.glob("charts/*/Chart.yaml"))
CASES = sorted(path.name.removesuffix(".values.yaml") for path in GOLDEN.glob("*.values.yaml"))
BROKEN = sorted(path.parent.name for path in GOLDEN.glob("*/Chart.yaml"))
EXAMPLES = {"django": ("shop", "django-shop"), "asgi": ("board", "asgi-board")}


def check(name: str, said: str) -> None:
    expected = GOLDEN / f"{name}.txt"
    if not expected.exists():
        expected.write_text(said)
        pytest.fail(f"{expected.name} was missing: it is written now, read it")
    assert said == expected.read_text()


@pytest.fixture(autouse=True)
def at_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("case", CASES)
def test_what_a_chart_renders(case: str, capsys: pytest.CaptureFixture[str]) -> None:
    chart = f"charts/{case.partition('-')[0]}"
    assert run(["chart", "template", "shop", chart, "-f", f"{GOLDEN}/{case}.values.yaml"]) == 0
    check(case, capsys.readouterr().out)


@pytest.mark.parametrize("name", BROKEN)
def test_what_is_said_of_a_broken_chart(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["chart", "lint", f"tests/golden/charts/{name}"]) == 1
    check(name, capsys.readouterr().out)


def test_no_golden_text_is_left_behind() -> None:
    assert {path.stem for path in GOLDEN.glob("*.txt")} == {*CASES, *BROKEN}


@pytest.mark.parametrize("name", CHARTS)
def test_a_chart_lints_and_says_what_it_is(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["chart", "lint", f"charts/{name}"]) == 0
    assert "0 with problems" in capsys.readouterr().out
    readme = (ROOT / f"charts/{name}/README.md").read_text()
    assert f"steer chart install shop charts/{name}" in readme
    chart = read_chart(f"charts/{name}")
    assert chart.schema is not None
    for key in chart.defaults.entries:
        assert f"`{key}" in readme, f"{key} is not explained"
        assert chart.schema["properties"][key].get("description"), key


@pytest.mark.parametrize("name", CHARTS)
async def test_a_chart_can_make_the_example(name: str) -> None:
    """The charts and the examples teach the same way to run an app."""
    app, folder = EXAMPLES[name]
    values = yaml.safe_load((GOLDEN / f"{name}-example.values.yaml").read_text())
    example = load([str(ROOT / "manifests/examples" / folder / "app.yaml")]).objects[0]
    given = value_from(values, flagged("-f"))
    made = await render(read_chart(f"charts/{name}"), given, Installing(app), example.base_dir)
    objects = [each.obj for each in made.loaded.objects]
    assert isinstance(objects[0], App) and isinstance(example.obj, App)
    assert objects[0].spec == example.obj.spec
    assert f"steer rollout status app/{app}" in made.notes
