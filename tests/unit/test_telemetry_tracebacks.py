"""Tracebacks read back from what a real Python prints, whoever else writes in between."""

import contextlib
import io
import json
import subprocess
import sys
import textwrap
import traceback
from collections.abc import Sequence
from itertools import chain, zip_longest
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from steersman.api.signals import Frame, Raised
from steersman.telemetry.tracebacks import (
    LONGEST,
    MOST_LINES,
    MOST_OPEN,
    PATIENCE,
    QUIET,
    Found,
    Tracebacks,
    read_text,
)


def printed(script: str, folder: Path) -> list[str]:
    """Return what a script of its own process writes to stderr."""
    path = folder / "app.py"
    path.write_text(textwrap.dedent(script))
    argv = [sys.executable, "-u", "app.py"]
    done = subprocess.run(argv, cwd=folder, capture_output=True, text=True, check=False)
    return done.stderr.split("\n")


def read(lines: Sequence[str], reader: Tracebacks | None = None) -> list[Found]:
    reader = reader if reader is not None else Tracebacks()
    found = [each for line in lines for each in reader.line(line, 1.0, 1.0)]
    return found + reader.close()


def only(lines: Sequence[str]) -> tuple[Raised, ...]:
    (found,) = read(lines)
    return found.exceptions


def told(exceptions: Sequence[Raised]) -> list[tuple[str, str, str, int]]:
    return [(each.type, each.message, each.relation, each.parent) for each in exceptions]


def calls(raised: Raised) -> list[tuple[int, str, str]]:
    return [(each.line, each.function, each.code) for each in raised.frames]


PLAIN = """\
def divide(by):
    return 1 / by

def view():
    return divide(by=0)

view()
"""


def test_a_plain_one_with_markers(tmp_path: Path) -> None:
    lines = printed(PLAIN, tmp_path)
    assert any("^^" in line or "~^" in line for line in lines)
    (raised,) = only(["starting", *lines])
    assert (raised.type, raised.message) == ("ZeroDivisionError", "division by zero")
    assert calls(raised) == [
        (7, "<module>", "view()"),
        (5, "view", "return divide(by=0)"),
        (2, "divide", "return 1 / by"),
    ]
    assert {frame.file for frame in raised.frames} == {str(tmp_path / "app.py")}


SHAPES = {
    "cause": (
        "try:\n    {}['a']\nexcept KeyError as error:\n    raise RuntimeError('no a') from error",
        [("RuntimeError", "no a", "", -1), ("KeyError", "'a'", "cause", 0)],
    ),
    "context": (
        "try:\n    {}['a']\nexcept KeyError:\n    int('b')",
        [
            ("ValueError", "invalid literal for int() with base 10: 'b'", "", -1),
            ("KeyError", "'a'", "context", 0),
        ],
    ),
    "a cause that was never raised": (
        "raise RuntimeError('late') from ValueError('early')",
        [("RuntimeError", "late", "", -1), ("ValueError", "early", "cause", 0)],
    ),
    "three in a chain": (
        "try:\n try:\n  1 / 0\n except Exception as e:\n  raise OSError(2, 'gone') from e\n"
        "except OSError:\n raise SystemError",
        [
            ("SystemError", "", "", -1),
            ("FileNotFoundError", "[Errno 2] gone", "context", 0),
            ("ZeroDivisionError", "division by zero", "cause", 1),
        ],
    ),
    "a message of several lines, and notes": (
        "error = ValueError('one\\n  two\\n\\nthree: 3')\nerror.add_note('seen at sea')\n"
        "error.add_note('a\\nb')\nraise error",
        [("ValueError", "one\n  two\n\nthree: 3\nseen at sea\na\nb", "", -1)],
    ),
    "a class of one's own": (
        "def f():\n class Odd(Exception): pass\n raise Odd('x')\nf()",
        [("f.<locals>.Odd", "x", "", -1)],
    ),
    "a class of a module": (
        "import json\njson.loads('{')",
        [
            (
                "json.decoder.JSONDecodeError",
                "Expecting property name enclosed in double quotes: line 1 column 2 (char 1)",
                "",
                -1,
            )
        ],
    ),
    "code without a file": ("exec('1 / 0')", [("ZeroDivisionError", "division by zero", "", -1)]),
    "in a thread": (
        "import threading\nt = threading.Thread(target=lambda: 1 / 0)\nt.start(); t.join()",
        [("ZeroDivisionError", "division by zero", "", -1)],
    ),
    "without end": (
        "def f(): f()\nf()",
        [("RecursionError", "maximum recursion depth exceeded", "", -1)],
    ),
    "of logging": (
        "import logging\nlogging.basicConfig(format='%(asctime)s %(levelname)s %(message)s')\n"
        "try: 1 / 0\nexcept Exception: logging.exception('view failed')\nlogging.warning('next')",
        [("ZeroDivisionError", "division by zero", "", -1)],
    ),
    "printed into a log": (
        "import logging, traceback\n"
        "logging.basicConfig(format='%(asctime)s %(levelname)s %(message)s')\n"
        "try: 1 / 0\nexcept Exception: logging.error(traceback.format_exc())\n"
        "logging.warning('next')",
        [("ZeroDivisionError", "division by zero", "", -1)],
    ),
    "a group": (
        "def f(x):\n try: raise x\n except Exception as e: return e\n"
        "raise ExceptionGroup('many', [f(ValueError('a\\nb')), TypeError('c'),"
        " ExceptionGroup('inner', [f(KeyError('d')), OSError('e')])]) from f(LookupError('why'))",
        [
            ("ExceptionGroup", "many (3 sub-exceptions)", "", -1),
            ("LookupError", "why", "cause", 0),
            ("ValueError", "a\nb", "member", 0),
            ("TypeError", "c", "member", 0),
            ("ExceptionGroup", "inner (2 sub-exceptions)", "member", 0),
            ("KeyError", "'d'", "member", 4),
            ("OSError", "e", "member", 4),
        ],
    ),
    "a group that caused another": (
        "def f(x, y):\n try: raise x from y\n except Exception as e: return e\n"
        "g = f(ExceptionGroup('g', [f(ValueError('a'), f(KeyError('k'), None))]), None)\n"
        "raise RuntimeError('top') from g",
        [
            ("RuntimeError", "top", "", -1),
            ("ExceptionGroup", "g (1 sub-exception)", "cause", 0),
            ("ValueError", "a", "member", 1),
            ("KeyError", "'k'", "cause", 2),
        ],
    ),
}


@pytest.mark.parametrize("shape", SHAPES)
def test_every_shape_that_a_real_python_prints(shape: str, tmp_path: Path) -> None:
    script, expected = SHAPES[shape]
    lines = printed(script, tmp_path)
    assert told(only(lines)) == expected
    # A journal keeps no empty lines, and a message without them is as well read.
    kept = [line for line in lines if line]
    without = [(type_, text.replace("\n\n", "\n"), *rest) for type_, text, *rest in expected]
    assert told(only(kept)) == without


def test_a_group_of_more_than_is_shown(tmp_path: Path) -> None:
    lines = printed("raise ExceptionGroup('g', [ValueError(str(n)) for n in range(20)])", tmp_path)
    raised = only(lines)
    assert [each.message for each in raised[1:]] == [str(n) for n in range(15)]


@pytest.mark.parametrize("script", ["def f(:\n    pass", "import broken"])
def test_a_syntax_error_has_a_place_and_no_function(script: str, tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("\n\nx = = 1\n")
    (raised,) = only(printed(script, tmp_path))
    assert (raised.type, raised.message) == ("SyntaxError", "invalid syntax")
    last = raised.frames[-1]
    assert (last.function, last.code) in [("", "def f(:"), ("", "x = = 1")]


def test_frames_without_source(tmp_path: Path) -> None:
    script = "import os\nexec(compile('def g():\\n 1/0\\ng()', 'gone.py', 'exec'))"
    (raised,) = only(printed(script, tmp_path))
    assert calls(raised)[1:] == [(3, "<module>", ""), (2, "g", "")]


def test_calls_that_are_too_many_to_be_printed(tmp_path: Path) -> None:
    lines = printed("def f(n):\n    return f(n + 1) if n < 100 else 1 / 0\n\nf(0)", tmp_path)
    at = next(at for at, line in enumerate(lines) if "[Previous line repeated 98" in line)
    reader = Tracebacks()
    took = []
    for line in lines[: at + 1]:
        reader.line(line, 1.0, 1.0)
        took.append(reader.took_line)
    assert all(took), "none is a line of the app's own"
    (raised,) = only(lines)
    assert (raised.type, raised.message) == ("ZeroDivisionError", "division by zero")
    assert [frame.line for frame in raised.frames] == [4, 2, 2, 2]


def test_prefixes_of_every_line_and_of_the_first_alone() -> None:
    tb = [
        "Traceback (most recent call last):",
        '  File "/srv/x.py", line 3, in run',
        "    go()",
        "ValueError: bad",
    ]
    celery = [f"[2026-11-25 22:10:0{n},12{n}: WARNING/ForkPoolWorker-1] {line}"
              for n, line in enumerate(tb)]  # fmt: skip
    first = ["2026-11-25 22:10:00 ERROR app: " + tb[0], *tb[1:], "2026-11-25 22:10:01 INFO app: up"]
    for lines in (celery, first, [f"web.1  | {line}" for line in tb]):
        assert told(only(lines)) == [("ValueError", "bad", "", -1)]
        assert calls(only(lines)[0]) == [(3, "run", "go()")]


def test_two_writers_with_prefixes_of_their_own(tmp_path: Path) -> None:
    one = [f"[1] {line}" for line in printed(PLAIN, tmp_path) if line]
    two = [f"[2] {line}" for line in printed(SHAPES["cause"][0], tmp_path) if line]
    mixed = [line for line in chain(*zip_longest(one, two)) if line is not None]
    found = {each.exceptions[0].type: each.exceptions for each in read(mixed)}
    assert told(found["RuntimeError"]) == SHAPES["cause"][1]
    assert len(found["ZeroDivisionError"][0].frames) == 3


@pytest.mark.parametrize("turns", ["alternate", "behind", "burst"])
def test_two_workers_that_interleave_line_by_line(turns: str, tmp_path: Path) -> None:
    lines = [line for line in printed(PLAIN, tmp_path) if line]
    if turns == "alternate":
        mixed = [line for line in lines for _ in range(2)]
    elif turns == "behind":
        mixed = [*lines[:3], lines[0], *lines[3:6], *lines[1:3], *lines[6:], *lines[3:]]
    else:
        mixed = [*lines[:6], *lines[:3], *lines[6:], *lines[3:]]
    found = read(mixed)
    assert len(found) == 2
    for each in found:
        assert calls(each.exceptions[0])[-1] == (2, "divide", "return 1 / by")
        assert len(each.exceptions[0].frames) == 3


def by_call(lines: Sequence[str]) -> list[list[str]]:
    """Return the lines as they are written: a call with its source at once."""
    parts: list[list[str]] = []
    for line in lines:
        if line.startswith("    "):
            parts[-1].append(line)
        elif line:
            parts.append([line])
    return parts


@pytest.mark.parametrize("is_by_call", [False, True])
def test_two_different_ones_that_interleave(is_by_call: bool, tmp_path: Path) -> None:
    one = by_call(printed(PLAIN, tmp_path))
    two = by_call(printed("import json\n\n\njson.loads('{')", tmp_path))
    if not is_by_call:
        one, two = ([[line] for part in each for line in part] for each in (one, two))
    mixed = [line for part in chain(*zip_longest(one, two, fillvalue=[])) for line in part]
    found = {each.exceptions[0].type: each.exceptions[0] for each in read(mixed)}
    assert [each[1] for each in calls(found["ZeroDivisionError"])] == [
        "<module>",
        "view",
        "divide",
    ]
    assert [each[1] for each in calls(found["json.decoder.JSONDecodeError"])] == [
        "<module>",
        "loads",
        "decode",
        "raw_decode",
    ]


@pytest.mark.parametrize("client", ["127.0.0.1", "192.0.2.7:40404", "::1", "2001:db8::a:5000"])
def test_lines_of_others_in_between_do_not_belong(tmp_path: Path, client: str) -> None:
    lines = [line for line in printed(PLAIN, tmp_path) if line]
    other = f'{client} - - [25/Nov/2026:22:10:00 +0000] "GET / HTTP/1.1" 500 -'
    mixed = list(chain.from_iterable((line, other) for line in lines))
    (raised,) = only([*mixed, "INFO:     Started", "said by nobody"])
    assert raised.message == "division by zero"
    assert len(raised.frames) == 3


def test_one_that_is_cut_off_is_told_without_a_type(tmp_path: Path) -> None:
    lines = printed(PLAIN, tmp_path)
    (raised,) = only(lines[:5])
    assert (raised.type, len(raised.frames)) == ("", 2)
    assert read(lines[:1]) == []


def test_it_is_whole_once_nothing_came_for_a_while() -> None:
    reader = Tracebacks()
    before = reader.deadline
    assert before is None
    for line in ["Traceback (most recent call last):", "ValueError: x"]:
        assert reader.line(line, 5.0, 10.0) == []
    assert reader.deadline == 10.0 + QUIET
    assert reader.flush(10.0 + QUIET / 2) == []
    # What others say in the meantime does not hold it up.
    assert reader.line("2026-11-25 22:10:00 INFO up", 5.1, 10.0 + QUIET / 2) == []
    (found,) = reader.flush(10.0 + QUIET)
    assert (found.time, found.exceptions[0].type) == (5.0, "ValueError")
    assert reader.deadline is None


@pytest.mark.parametrize(
    ("last", "patience"),
    [
        ("Traceback (most recent call last):", PATIENCE),
        ('  File "a.py", line 1, in f', PATIENCE),
        ("    x = 1", PATIENCE),
        ("ValueError: x", QUIET),
        ("The above exception was the direct cause of the following exception:", PATIENCE),
    ],
)
def test_what_is_not_whole_is_waited_for_longer(last: str, patience: float) -> None:
    lines = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "ValueError: x"]
    reader = Tracebacks()
    for line in lines[: 3 if last.startswith("The above") else 2]:
        reader.line(line, 1.0, 1.0)
    reader.line(last, 1.0, 1.0)
    assert reader.deadline == 1.0 + patience


def test_a_group_is_whole_behind_its_last_line(tmp_path: Path) -> None:
    lines = [line for line in printed(SHAPES["a group"][0], tmp_path) if line]
    reader = Tracebacks()
    for line in lines[:-1]:
        reader.line(line, 1.0, 1.0)
    assert reader.deadline == 1.0 + PATIENCE
    reader.line(lines[-1], 1.0, 1.0)
    assert reader.deadline == 1.0 + QUIET


def test_one_after_the_other_without_anything_between() -> None:
    lines = ["Traceback (most recent call last):", '  File "a.py", line 1, in f', "    x"]
    many = [line for n in range(20) for line in [*lines, f"ValueError: {n}"]]
    assert [each.exceptions[0].message for each in read(many)] == [str(n) for n in range(20)]


def test_a_field_of_a_json_line(tmp_path: Path) -> None:
    text = json.loads(json.dumps("\n".join(printed(SHAPES["cause"][0], tmp_path))))
    (found,) = read_text(text, 7.0)
    assert (found.time, told(found.exceptions)) == (7.0, SHAPES["cause"][1])


LINES = st.lists(
    st.one_of(
        st.text(max_size=40),
        st.sampled_from(
            [
                "",
                "Traceback (most recent call last):",
                "  + Exception Group Traceback (most recent call last):",
                "    | Exception Group Traceback (most recent call last):",
                "  | ValueError: x",
                "  +-+---------------- 1 ----------------",
                "    +---------------- 2 ----------------",
                "    +------------------------------------",
                " " * 60 + "+---------------- 2 ----------------",
                '  File "a.py", line 1, in f',
                '  File "a.py", line 99999999999999999999',
                "    code",
                "    ^^^^",
                "ValueError: x",
                "The above exception was the direct cause of the following exception:",
                "During handling of the above exception, another exception occurred:",
            ]
        ),
    ),
    max_size=60,
)


@given(LINES)
def test_no_text_is_too_much(lines: list[str]) -> None:
    for found in read(lines):
        for number, each in enumerate(found.exceptions):
            assert each.parent < number


def held(reader: Tracebacks) -> int:
    return sum(len(line) for block in reader._open for line in block.lines)


@pytest.mark.parametrize(
    "line",
    [
        '  File "a.py", line 1, in f',
        "Traceback (most recent call last):",
        "  | " + "x" * 10_000,
        "",
        "said " * 10_000,
    ],
)
def test_memory_is_bounded(line: str) -> None:
    reader = Tracebacks()
    for begin in (
        ["Traceback (most recent call last):"],
        ["  + Exception Group Traceback (most recent call last):"],
        ["Traceback (most recent call last):", "ValueError: x"],
    ):
        for each in [*begin, *[line] * (MOST_LINES * 2)]:
            reader.line(each, 1.0, 1.0)
        assert len(reader._open) <= MOST_OPEN
        assert held(reader) <= MOST_OPEN * MOST_LINES * LONGEST
        assert all(len(block.lines) <= MOST_LINES for block in reader._open)


class Odd(Exception):
    """One whose name has a module."""


WORDS = st.text("abcdeäß:;'()| +-^", max_size=20).map(str.strip)
MESSAGES = st.lists(WORDS.filter(bool), max_size=3).map("\n".join)
TYPES = st.sampled_from([ValueError, RuntimeError, Odd, OSError])


def raised_here(error: Exception, cause: Exception | None, is_cause: bool, depth: int) -> Exception:
    """Return the error as it is after it was raised `depth` calls below."""

    def fall(left: int) -> None:
        if left:
            fall(left - 1)
        elif cause is None:
            raise error
        elif is_cause:
            raise error from cause
        else:
            try:
                raise cause
            finally:
                raise error

    with contextlib.suppress(Exception):
        try:
            fall(depth)
        except Exception as seen:
            return seen
    return error


@st.composite
def errors(draw: st.DrawFn, levels: int = 3) -> Exception:
    error: Exception = draw(TYPES)(draw(MESSAGES))
    if levels and draw(st.booleans()):
        members = draw(st.lists(errors(levels=levels - 1), min_size=1, max_size=3))
        error = ExceptionGroup(draw(WORDS.filter(bool)), members)
    for note in draw(st.lists(WORDS.filter(bool), max_size=2)):
        error.add_note(note)
    cause = draw(errors(levels=levels - 1)) if levels and draw(st.booleans()) else None
    return raised_here(error, cause, draw(st.booleans()), draw(st.integers(0, 2)))


def expected(error: BaseException) -> list[Raised]:
    """Return what should be read, made from the exceptions themselves."""
    made: list[Raised] = []
    waiting: list[tuple[BaseException, str, int]] = [(error, "", -1)]
    while waiting:
        each, relation, parent = waiting.pop(0)
        module = type(each).__module__
        name = type(each).__qualname__
        notes = getattr(each, "__notes__", [])
        frames = [
            Frame(file=f.filename, line=f.lineno or 0, function=f.name, code=f.line or "")
            for f in traceback.extract_tb(each.__traceback__)
        ]
        made.append(
            Raised(
                type=name if module in ("builtins", "__main__") else f"{module}.{name}",
                message="\n".join([str(each), *notes]).rstrip(),
                frames=tuple(frames),
                relation=relation,  # type: ignore[arg-type]
                parent=parent,
            )
        )
        before = each.__cause__ or (None if each.__suppress_context__ else each.__context__)
        if before is not None:
            waiting.append((before, "cause" if each.__cause__ else "context", len(made) - 1))
        if isinstance(each, BaseExceptionGroup):
            waiting += [(one, "member", len(made) - 1) for one in each.exceptions]
    return made


@given(errors())
@example(raised_here(ValueError("a\nbad - an e::b - c"), None, False, 0))
def test_what_traceback_prints_is_read_back_exactly(error: Exception) -> None:
    stream = io.StringIO()
    stream.writelines(traceback.format_exception(error))
    lines = [*stream.getvalue().split("\n"), "2026-11-25 22:10:00 INFO something else"]
    assert list(only(lines)) == expected(error)
