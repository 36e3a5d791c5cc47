"""A host's checklist as lines: what is good, poor and lacking, and the fix for each lack."""

from collections.abc import Iterator, Mapping, Sequence

from steersman.cli.text import one_line
from steersman.control.checklist import Finding, State

_SIGNS: Mapping[State, tuple[str, str]] = {
    "good": ("✓", "ok"),
    "poor": ("!", "warn"),
    "lacking": ("✗", "FAIL"),
}


def lines_of(findings: Sequence[Finding], *, is_plain: bool) -> Iterator[str]:
    """Yield the checklist; `is_plain` spares a terminal that has no such signs."""
    width = max(len(each.what) for each in findings)
    for each in findings:
        sign = _SIGNS[each.state][1 if is_plain else 0]
        line = f"  {sign.ljust(4 if is_plain else 1)} {each.what.ljust(width)}  {each.text}"
        yield one_line(line)
        if each.fix and each.state != "good":
            yield one_line(f"    {'   ' if is_plain else ''}{' ' * width}  fix: {each.fix}")
