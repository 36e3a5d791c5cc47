"""Loading: which files are read, what comes out, and which limits hold."""

import io
from pathlib import Path
from typing import BinaryIO, TextIO

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from steersman.api.app import App
from steersman.api.host import Host
from steersman.api.objects import InvalidObject, parse_object
from steersman.api.refusal import Refused
from steersman.manifests import Loaded, ManifestErrors, load
from steersman.manifests.problem import Problem
from steersman.manifests.scalars import read_scalar

HOST = "apiVersion: steersman/v1\nkind: Host\nmetadata: {name: %s}\nspec: {address: 10.0.0.1}\n"
APP = "apiVersion: steersman/v1\nkind: App\nmetadata: {name: shop}\nspec: {source: {path: src}}\n"
SECRET = (
    "apiVersion: steersman/v1\nkind: Secret\nmetadata: {name: shop}\n"
    "spec: {data: {A: {value: hunter2hunter2}}}\n"
)


def read(text: str | bytes) -> Loaded:
    return load(["-"], stdin=text.encode() if isinstance(text, str) else text)


def problems(text: str | bytes) -> tuple[Problem, ...]:
    with pytest.raises(ManifestErrors) as caught:
        read(text)
    return caught.value.problems


def names(loaded: Loaded) -> list[str]:
    return [each.obj.name for each in loaded.objects]


def test_documents_come_in_the_order_of_their_kinds_then_as_read() -> None:
    loaded = read("---\n".join([APP, HOST % "h2", "# empty\n", SECRET, HOST % "h1"]))
    assert [each.obj.key for each in loaded.objects] == [
        "Host/h2", "Host/h1", "Secret/shop", "App/shop",
    ]  # fmt: skip


def test_json_is_yaml() -> None:
    text = (
        '{"apiVersion": "steersman/v1", "kind": "Host",\n\t"metadata": {"name": "h1"},'
        ' "spec": {"address": "a\\/b"}}'
    )
    assert [each.path for each in problems(text)] == ["spec.address"]
    assert names(read(text.replace("a\\/b", "10.0.0.1"))) == ["h1"]


@pytest.mark.parametrize(
    "stdin", [(HOST % "h1").encode(), io.StringIO(HOST % "h1"), io.BytesIO((HOST % "h1").encode())]
)
def test_standard_input_may_be_bytes_or_a_stream(stdin: bytes | TextIO | BinaryIO) -> None:
    (one,) = load(["-"], stdin=stdin).objects
    assert (one.obj.name, one.file, one.line, one.base_dir) == ("h1", "<stdin>", 1, Path.cwd())


def test_a_byte_order_mark_and_windows_line_ends_are_read() -> None:
    assert names(read(b"\xef\xbb\xbf" + (HOST % "h1").replace("\n", "\r\n").encode())) == ["h1"]


def test_a_folder_gives_its_manifests_and_with_recursive_those_below(tmp_path: Path) -> None:
    for name in ["b.yaml", "a.yml", "c.json", "sub/d.yaml", ".hidden.yaml", ".git/x.yaml", "e.txt"]:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        stem = path.stem.strip(".")
        path.write_text(HOST % stem if path.suffix != ".txt" else "not: [a manifest")
    assert names(load([tmp_path])) == ["a", "b", "c"]
    assert names(load([str(tmp_path)], recursive=True)) == ["a", "b", "c", "d"]


def test_a_named_file_needs_no_suffix_and_counts_once(tmp_path: Path) -> None:
    path = tmp_path / "host"
    path.write_text(HOST % "h1")
    (tmp_path / "link.yaml").symlink_to(path)
    assert names(load([path, path, tmp_path])) == ["h1"]


def test_local_paths_count_from_the_folder_of_the_manifest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy = tmp_path / "deploy"
    deploy.mkdir()
    (deploy / "app.yaml").write_text(
        APP + "---\n" + (HOST % "h1").replace("0.1}", "0.1, identity: keys/id}")
        + "---\n" + (HOST % "h2").replace("0.1}", "0.1, identity: ~/.ssh/id}")
    )  # fmt: skip
    monkeypatch.chdir(tmp_path)
    h1, h2, app = load(["deploy/app.yaml"]).objects
    assert isinstance(app.obj, App)
    assert isinstance(h1.obj, Host)
    assert isinstance(h2.obj, Host)
    assert app.obj.spec.source.path == str(deploy / "src")
    assert h1.obj.spec.identity == str(deploy / "keys/id")
    assert h2.obj.spec.identity == "~/.ssh/id"
    assert app.base_dir == Path("deploy")


def test_everything_wrong_in_every_file_is_told_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(HOST % "H1")
    Path("b.yaml").write_text("a: [")
    Path("c.yaml").write_text(HOST % "h1")
    with pytest.raises(ManifestErrors) as caught:
        load([".", "missing.yaml"])
    assert [each.where for each in caught.value.problems] == [
        "./a.yaml:3:18", "./b.yaml:2:1", "missing.yaml",
    ]  # fmt: skip
    assert "3 problems" in str(caught.value)


def test_what_follows_a_broken_document_is_not_guessed_but_what_precedes_it_is_told() -> None:
    wheres = [each.where for each in problems(HOST % "H1" + "---\na: [\n")]
    assert wheres[0] == "<stdin>:3:18"
    assert len(wheres) == 2


def test_one_object_in_two_places_is_told_with_both(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("a.yaml").write_text(HOST % "h1" + "---\n" + APP)
    Path("b.yaml").write_text("---\n" + APP)
    with pytest.raises(ManifestErrors) as caught:
        load(["a.yaml", "b.yaml"])
    (problem,) = caught.value.problems
    assert problem.where == "b.yaml:4:18"
    assert problem.found == "App/shop again, first in a.yaml:6"


@pytest.mark.parametrize("paths", [[], ["."]])
def test_no_objects_at_all_is_an_error(
    paths: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ManifestErrors, match="no objects"):
        load(paths)


def test_an_empty_file_beside_others_is_none(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("")
    (tmp_path / "b.yaml").write_text(HOST % "h1")
    assert names(load([tmp_path])) == ["h1"]


def test_what_cannot_be_read_is_told(tmp_path: Path) -> None:
    with pytest.raises(ManifestErrors, match="No such file"):
        load([tmp_path / "none"])
    with pytest.raises(ManifestErrors, match="null byte"):
        load(["a\0b"])
    with pytest.raises(ManifestErrors, match="standard input"):
        load(["-"])
    (tmp_path / "loop.yaml").symlink_to(tmp_path / "loop.yaml")
    with pytest.raises(ManifestErrors, match="levels of symbolic links"):
        load([tmp_path])


@pytest.mark.parametrize(
    ("text", "where", "said"),
    [
        (b"a: " + b"x" * (4 << 20), "<stdin>", "4 MiB"),
        ("a: " + "[" * 20 + "]" * 20, "<stdin>:1:23", "levels of nesting"),
        ("[" * 100_000, "<stdin>:1:21", "levels of nesting"),
        ("- " * 100_000, "<stdin>:1:41", "levels of nesting"),
        ("a: [" + "1," * 10_000 + "]", "<stdin>:1:19999", "more than 10000 values"),
        ("a: " + "9" * 5000, "<stdin>:1:4", "5000 digits"),
        ("a: \ud800".encode(errors="surrogatepass"), "<stdin>:1:4", "0xed"),
        ("a: \ufeff", "<stdin>:1:4", "U+FEFF"),
        ("a: \x1b[2J", "<stdin>:1:4", "U+001B"),
        ('a: "\\0"', "<stdin>:1:4", "NUL"),
        ("a: &x [*x, *x]", "<stdin>:1:4", "anchor"),
        ("a: !!set {b, c}", "<stdin>:1:4", "!!set"),
        ("a: !!bool 3", "<stdin>:1:4", "no !!bool"),
        ("a: !!int true", "<stdin>:1:4", "no !!int"),
        ("? {a: b}\n: c", "<stdin>:1:3", "a mapping as a key"),
    ],
)
def test_the_limits_hold(text: str | bytes, where: str, said: str) -> None:
    assert any(each.where == where and said in each.found for each in problems(text))


def test_a_bomb_of_aliases_costs_nothing() -> None:
    lines = ["a0: &a0 [x, x]", *(f"a{n}: &a{n} [*a{n - 1}, *a{n - 1}]" for n in range(1, 40))]
    assert len(problems("\n".join(lines))) > 40


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("NO", "NO"), ("on", "on"), ("y", "y"), ("010", 10), ("0o10", 8), ("0x1F", 31),
        ("1_000", "1_000"),
        ("12:30", "12:30"), ("2026-11-22", "2026-11-22"), ("null", None), ("~", None), ("", None),
        ("TRUE", True), ("False", False), ("1e3", 1000.0), (".5", 0.5), ("-.inf", float("-inf")),
        ("0b1", "0b1"), ("+1", 1), ("nan", "nan"), ("1.2.3", "1.2.3"),
    ],
)  # fmt: skip
def test_plain_scalars_are_those_of_yaml_1_2(text: str, value: object) -> None:
    read_back = read_scalar(text, None, is_plain=True)
    assert read_back == value
    assert type(read_back) is type(value)
    assert read_scalar(text, None, is_plain=False) == text
    assert read_scalar(text, "tag:yaml.org,2002:str", is_plain=True) == text


def test_a_tag_may_say_what_a_value_is_anyway() -> None:
    assert read_scalar("3", "tag:yaml.org,2002:int", is_plain=True) == 3
    assert read_scalar("3", "tag:yaml.org,2002:float", is_plain=False) == 3
    with pytest.raises(Refused):
        read_scalar("x", "tag:yaml.org,2002:null", is_plain=True)


def test_keys_are_text_whatever_they_look_like() -> None:
    (app,) = read(APP.replace("shop}", "shop, labels: {1: a, true: b, null: c}}")).objects
    assert app.obj.metadata.labels == {"1": "a", "true": "b", "null": "c"}


def test_a_later_check_can_point_into_the_manifest() -> None:
    (app,) = read(APP).objects
    problem = app.problem(("spec", "source", "path"), '"src"', "a folder that is there")
    assert problem.where == "<stdin>:4:23"
    assert str(problem).splitlines()[1].endswith("path: src}}")
    assert str(problem).splitlines()[2].index("^") == str(problem).splitlines()[1].index("src}}")


def test_a_long_line_is_shown_around_the_fault() -> None:
    text = APP.replace("src", "src, pth: 1") + "# "
    text = text.replace("{source", "{history: 1" + " " * 300 + ", source")
    (problem,) = problems(text)
    shown, caret = str(problem).splitlines()[1:]
    assert len(shown) < 120
    assert shown[caret.index("^") :].startswith("pth")


@pytest.mark.parametrize(
    "text",
    [
        SECRET + "x: [",
        SECRET.replace("hunter2hunter2", "&a hunter2hunter2"),
        SECRET.replace("value: hunter2hunter2", "value: !x hunter2hunter2"),
        SECRET.replace("{value: hunter2hunter2}", "hunter2hunter2"),
        SECRET.replace("kind: Secret", "kind: Secrets"),
        SECRET.replace("kind: Secret", '"kind": "secret"'),
        SECRET.replace("data", "stringData"),
        SECRET.replace("name: shop", "name: SHOP").replace("\n", " ").replace("metadata", "\nm"),
        HOST % "h1" + "---\n" + SECRET + "---\n" + SECRET,
        "hunter2hunter2",
    ],
)
def test_no_error_tells_a_secret(text: str) -> None:
    with pytest.raises(ManifestErrors) as caught:
        read(text)
    assert "hunter2" not in str(caught.value)


FRAGMENTS = st.sampled_from(
    ["apiVersion: steersman/v1", "kind: App", "kind: Secret", "kind: Host", "metadata:",
     "  name: a",
     "spec:", "  source: {path: a}", "  processes:", "    web:", "      command: x", "- a", "---",
     "...",
     "&a", "*a", "!x ", "? ", ": ", "{", "}", "[", "]", "'", '"', "|", ">", "#", "\t", "%YAML 1.1",
     "%TAG ! x", "<<: ", "\0", "\ufeff", "\x85", "é", "1e999", ".nan", "0o8", "!!int x", "\\x"]
)  # fmt: skip


@settings(max_examples=150)
@given(
    st.one_of(
        st.binary(max_size=200),
        st.text(max_size=200).map(lambda text: text.encode(errors="surrogatepass")),
        st.lists(st.tuples(FRAGMENTS, st.sampled_from(["", " ", "\n", "\n  "])), max_size=30).map(
            lambda parts: "".join(a + b for a, b in parts).encode()
        ),
    )
)
@example(b"!%ff x")
@example(b"%TAG !e! tag:e,1:%ff\n---\n!e!x y")
@example(b"--- |\xc2\x85 x")
def test_any_bytes_give_objects_or_problems(data: bytes) -> None:
    try:
        assert read(data).objects
    except ManifestErrors as errors:
        assert errors.problems
        text = str(errors)
        assert all(line.isprintable() for line in text.splitlines())


VALUES = st.recursive(
    st.one_of(
        st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8),
        st.sampled_from(["http", "30s", "25%", "../x", "root", "1" * 400 + "s", "a && b"]),
    ),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(
        st.sampled_from(["source", "path", "git", "url", "processes", "web", "command", "count",
                         "routes", "host", "limits", "memory", "data", "A", "value", "rollout",
                         "maxSurge", "address", "hostKey", "jump", "stop", "timeout"]),
        inner, max_size=4,
    ),
    max_leaves=12,
)  # fmt: skip


@settings(max_examples=150)
@given(st.sampled_from(["App", "Host", "Secret"]), VALUES)
def test_any_spec_is_an_object_or_refused(kind: str, spec: object) -> None:
    data = {
        "apiVersion": "steersman/v1", "kind": kind, "metadata": {"name": "a"}, "spec": spec,
    }  # fmt: skip
    try:
        parse_object(data)
    except InvalidObject as error:
        assert str(error)
