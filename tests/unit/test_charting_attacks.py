"""Hostile templates end in an error at their line, within the limits, and reach nothing."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from steersman.charting import process, valueschema
from steersman.charting.chart import read_chart
from steersman.charting.problems import ChartErrors
from steersman.charting.process import Ended, ask
from steersman.charting.render import Installing, Rendered, render
from steersman.charting.values import flagged, value_from


@pytest.fixture(scope="module", autouse=True)
def patience() -> Iterator[None]:
    """Have the wall's clock end nothing: what may compute 3 s takes 30 where many compute."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(process, "PATIENCE", 300.0)
        yield


APP = "kind: App\napiVersion: steersman/v1\nmetadata: {name: x}\nspec: {source: {path: x}}\n"


def chart(folder: Path, template: str, schema: object = None) -> Path:
    (folder / "templates").mkdir()
    (folder / "Chart.yaml").write_text("{apiVersion: steersman/v1, name: evil, version: 1.0.0}\n")
    (folder / "values.yaml").write_text("known: {count: 1}\ntext: plain\n")
    (folder / "templates/app.yaml").write_text(f"# first line\n{template}\n{APP}")
    if schema is not None:
        (folder / "values.schema.json").write_text(json.dumps(schema))
    return folder


async def rendered(folder: Path, **values: object) -> Rendered:
    given = value_from(values, flagged("--set"))
    return await render(read_chart(folder), given, Installing("x"), folder)


async def refusal(folder: Path, **values: object) -> str:
    began = time.monotonic()
    with pytest.raises(ChartErrors) as caught:
        await rendered(folder, **values)
    assert time.monotonic() - began < process.PATIENCE
    return str(caught.value)


LOOPS = "{% for i in range(99999) %}{% for j in range(99999) %}{% endfor %}{% endfor %}"
DOUBLING = (
    "{% set ns = namespace(t='a') %}{% for i in range(99) %}"
    "{% set ns.t = ns.t + ns.t %}{% endfor %}"
)
# CVE-2024-56326: str.format reached without a call that the sandbox sees.
BY_REFERENCE = (
    "{% set ns = namespace(f='{0.__class__.__mro__}'.format) %}"
    "{{ [known] | map('attr', 'format') | list }}{{ ns.f(values) }}"
)
# CVE-2025-27516: the same through the filter `attr`.
BY_ATTR = "{{ ('{0.__class__.__mro__}' | attr('format'))(values) }}"


ATTACKS = [
    ("{{ 'a' * 10**9 }}", "a repetition that is too long"),
    ("{{ [0] * 10**9 }}", "a repetition that is too long"),
    ("{{ 10 ** (10 ** 9) }}", "a power that is too large"),
    ("{{ 'a' | center(10**9) }}", "more than 64 MiB of memory"),
    ("{{ '%1000000000d' % 1 }}", "more than 64 MiB of memory"),
    ("{{ '{:>1000000000}'.format(1) }}", "more than 64 MiB of memory"),
    (DOUBLING, "more than 64 MiB of memory"),
    ("{% for i in range(10**12) %}{% endfor %}", "a range or number that is too large"),
    ("{% for i in range(99999) %}12345678901234567890{% endfor %}", "1 MiB of rendered text"),
    ("{% include 'self.yaml' %}", "nesting without end"),
    ("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}", "nesting without end"),
    ("{{ ''.__class__.__mro__ }}", "a way out of the sandbox"),
    ("{{ ''['__class__'] }}", "a way out of the sandbox"),
    ("{{ range.__globals__ }}", "a way out of the sandbox"),
    ("{{ cycler.__init__.__globals__ }}", "a way out of the sandbox"),
    ("{{ '{0.__class__}'.format(1) }}", "a way out of the sandbox"),
    ("{{ '{x.__class__}'.format_map({'x': 1}) }}", "a way out of the sandbox"),
    (BY_REFERENCE, "No filter named 'attr'"),
    (BY_REFERENCE.replace("{{ [known] | map('attr', 'format') | list }}", ""), "out of the san"),
    (BY_ATTR, "No filter named 'attr'"),
    ("{{ values.known.update({'x': 1}) }}", "a way out of the sandbox"),
    ("{{ lipsum() }}", "the unknown name 'lipsum'"),
    ("{{ [1, 2] | random }}", "No filter named 'random'"),
    ("{% include '/etc/passwd' %}", "no template '/etc/passwd'"),
    ("{% include '../values.yaml' %}", "no template '../values.yaml'"),
]
"""Each in a template of its own, which is named after its place here."""


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> dict[int, str]:
    """What is said of each attack; one process takes them all, one after the other."""
    folder = chart(tmp_path_factory.mktemp("evil"), "")
    for number, (template, _) in enumerate(ATTACKS):
        text = template.replace("self.yaml", f"{number}.yaml")
        (folder / f"templates/{number}.yaml").write_text(f"# first line\n{text}\n")
    with pytest.raises(ChartErrors) as caught:
        asyncio.run(rendered(folder))
    places = {f"{folder}/templates/{number}.yaml": number for number in range(len(ATTACKS))}
    return {
        places[problem.file]: f"{problem.mark} {problem.message}"
        for problem in caught.value.problems
    }


@pytest.mark.parametrize("number", range(len(ATTACKS)), ids=[text for text, _ in ATTACKS])
def test_an_attack_ends_at_its_line(said: dict[int, str], number: int) -> None:
    assert ATTACKS[number][1] in said[number]
    assert "line=2" in said[number]


@pytest.mark.slow
async def test_a_loop_without_end_is_stopped_at_its_line(tmp_path: Path) -> None:
    said = await refusal(chart(tmp_path, LOOPS))
    assert "more than 2 s of computing" in said and "app.yaml:2:1" in said


@pytest.mark.slow
async def test_what_never_returns_to_python_is_killed(tmp_path: Path) -> None:
    """Comparing lists hears no signal: the kernel's hard limit ends it."""
    doubling = "{% set ns.a = [ns.a, ns.a] %}{% set ns.b = [ns.b, ns.b] %}"
    lists = f"{{% set ns = namespace(a=[1], b=[1]) %}}{{% for i in range(60) %}}{doubling}"
    said = await refusal(chart(tmp_path, lists + "{% endfor %}{{ ns.a == ns.b }}"))
    assert "templates/app.yaml: found more than 2 s of computing" in said


async def test_a_schema_may_not_read_files_or_take_its_time(tmp_path: Path) -> None:
    said = await refusal(chart(tmp_path, "", {"$ref": "file:///etc/passwd"}))
    assert "a reference that leads out of the file" in said and "values.schema.json" in said


def test_references_are_not_followed_even_without_the_walls(tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text('{"type": "string"}')
    misfits = valueschema.check({"a": 1}, {"$ref": f"file://{tmp_path}/other.json"})
    assert [each.is_schema for each in misfits] == [True]


async def test_a_pattern_without_end_is_no_match(tmp_path: Path) -> None:
    schema = {"properties": {"text": {"pattern": r"^(a|aa)+(?=\1b)$"}}}
    assert "text" in await refusal(chart(tmp_path, "", schema), text="a" * 5000)


async def test_a_chart_cannot_link_out_of_its_folder(tmp_path: Path) -> None:
    inside = tmp_path / "chart"
    inside.mkdir()
    chart(inside, "")
    (tmp_path / "password").write_text("hunter2")
    (inside / "templates/_helpers.j2").symlink_to(tmp_path / "password")
    (inside / "values.schema.json").symlink_to("/etc/passwd")
    with pytest.raises(ChartErrors) as caught:
        read_chart(inside)
    assert str(caught.value).count("a link out of the chart") == 2
    assert "hunter2" not in str(caught.value)


async def test_one_template_cannot_change_what_another_sees(tmp_path: Path) -> None:
    folder = chart(tmp_path, "{% set values = {} %}{% set chart = 1 %}")
    (folder / "templates/b.yaml").write_text("# {{ values.known.count }} {{ chart.name }}\n")
    await rendered(folder)


async def test_a_key_named_as_a_method_is_the_key(tmp_path: Path) -> None:
    folder = chart(tmp_path, "# {{ values.items }} {{ values.known.items() | list | tojson }}")
    made = await rendered(folder, items="of ours")
    assert made.manifests[0].text.splitlines()[1] == '# of ours [["count", 1]]'


async def test_the_same_values_make_the_same_text(tmp_path: Path) -> None:
    folder = chart(tmp_path, "# {{ values | tojson }}\n# {{ values.known | toyaml }}")
    first = await rendered(folder, z=1, a={"c": [1.5, None, True], "b": "ü"})
    assert (await rendered(folder, z=1, a={"c": [1.5, None, True], "b": "ü"})).manifests == (
        first.manifests
    )
    assert '"c": [1.5, null, true]' in first.manifests[0].text


PROBE = """
import ctypes, json, os, socket, sys
if sys.argv[1] == "no hook":
    sys.addaudithook = lambda hook: None
from steersman.charting import jail
if sys.argv[1] == "no filter":
    jail._filter_calls = lambda libc: None
jail.lock_in()
def tried(attempt):
    try:
        return repr(attempt())
    except BaseException as error:
        return type(error).__name__
said = {
    "open": tried(lambda: os.open("/etc/passwd", os.O_RDONLY)),
    "write": tried(lambda: os.open("/tmp/x", os.O_WRONLY | os.O_CREAT)),
    "socket": tried(socket.socket),
    "fork": tried(os.fork),
    "exec": tried(lambda: os.execv("/bin/true", ["true"])),
    "kill": tried(lambda: os.kill(os.getppid(), 0)),
    "mkdir": tried(lambda: os.mkdir("/tmp/steersman-escaped")),
    "root": tried(lambda: os.setuid(0)) if os.geteuid() == 0 else "PermissionError",
    "memory": tried(lambda: len(bytearray(65 * 1024 * 1024))),
}
sys.stdout.write(json.dumps(said))
sys.stdout.flush()
os._exit(0)
"""


@pytest.mark.parametrize("without", ["nothing", "no hook", "no filter"])
def test_even_a_template_that_breaks_out_of_the_sandbox_reaches_nothing(without: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-I", "-c", PROBE, without],
        capture_output=True, text=True, check=True, env={}, cwd="/",
    )  # fmt: skip
    said = json.loads(ran.stdout)
    assert said.pop("memory") == "MemoryError"
    assert set(said.values()) == {"PermissionError"}, said


async def test_more_output_than_allowed_ends_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_MAX_ANSWER", 1000)
    request = {
        "templates": {"a": "x" * 300_000},
        "render": ["a"],
        "schema": None,
        "objects": {},
    }
    with pytest.raises(Ended, match="more output") as caught:
        await ask(request, ["a"])
    assert caught.value.template == "a"


async def test_a_process_that_takes_too_long_on_the_wall_is_killed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process, "PATIENCE", 0.001)
    with pytest.raises(ChartErrors, match=r"more than 0\.001 s"):
        await rendered(chart(tmp_path, LOOPS))
