"""An error in full: how often and where it was seen, its traceback with source, the last lines."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime
from typing import Any

from steersman.cli.context import Work
from steersman.cli.culprit import where
from steersman.cli.sections import field, section
from steersman.cli.tables import age
from steersman.cli.text import one_line
from steersman.store.errors import NotStored

RECENT = 5
_RELATIONS = {"cause": "which was caused by:", "context": "which came while this was handled:"}

Object = Mapping[str, Any]


def error_rows(errors: Sequence[Object], now: datetime) -> list[list[str]]:
    """Return the header and a row for each of the last errors, the newest first."""
    rows = [["LAST SEEN", "NAME", "COUNT", "WHERE", "ERROR"]]
    for each in reversed(errors[-RECENT:]):
        spec = each["spec"]
        name = f"error/{each['metadata']['name']}"
        seen = age(spec["last"], now)
        rows.append([seen, name, str(spec["count"]), where(each) or "-", spec["title"]])
    return rows


async def describe_error(work: Work, name: str, now: datetime) -> str:
    """Return the description of a group of errors, of which the last is shown."""
    found = await work.errors.errors(name=name)
    if not found:
        raise NotStored("Error", name)
    error, spec = found[0], found[0]["spec"]
    text = field("Name", error["metadata"]["name"]) + field("Error", spec["title"])
    text += field("Kind", spec["kind"]) + _places(spec)
    first, last = age(spec["first"], now), age(spec["last"], now)
    text += field("Seen", f"{spec['count']} times, first {first} ago, last {last} ago")
    for label, key in (("Hosts", "hosts"), ("Releases", "releases")):
        counts = spec.get(key) or {}
        text += field(label, ", ".join(f"{k} ({n})" for k, n in counts.items()) or "<none>")
    if "exited" in spec:
        text += field("Ended", _ended(spec["exited"]))
    if spec.get("exceptions"):
        text += "Traceback (the last call is at the end):\n"
        text += "".join(f"{line}\n" for line in _traceback(spec["exceptions"]))
    elif spec.get("message"):
        text += "Message:\n" + "".join(f"  {line}\n" for line in _lines(spec["message"]))
    rows = [["TIME", "LEVEL", "LINE"]]
    rows += [[each["time"], each["level"], each["text"]] for each in spec.get("breadcrumbs", ())]
    return text + section("Lines before", rows)


def _places(spec: Object) -> str:
    text = ""
    if spec.get("app"):
        parts = [f"{key} {spec[key]}" for key in ("process", "instance") if spec.get(key)]
        text += field("App", f"{spec['app']} ({', '.join(parts)})" if parts else spec["app"])
    if spec.get("release"):
        commit = f", commit {spec['commit'][:10]}" if spec.get("commit") else ""
        text += field("Release", f"{spec['release']}{commit}")
    return text


def _ended(exited: Object) -> str:
    how = f"by signal {exited['signal']}" if "signal" in exited else f"code {exited.get('code')}"
    how += ", because memory ran out" if exited.get("outOfMemory") else ""
    how += ", with a core" if exited.get("core") else ""
    return f"{how}, after {exited.get('restarts', 0)} restarts"


def _traceback(exceptions: Sequence[Object]) -> Iterator[str]:
    """Yield the exceptions, the one that was seen first; each source line with its number."""
    for number, each in enumerate(exceptions):
        relation = each.get("relation", "")
        if relation == "member":
            yield f"  member of {_titled(exceptions, each)}:"
        elif relation:
            of = "" if each["parent"] == number - 1 else f"{_titled(exceptions, each)}, "
            yield f"  {of}{_RELATIONS.get(relation, '')}"
        title, *more = _lines(f"{each.get('type', '(cut off)')}: {each.get('message', '')}")
        yield f"  {title.removesuffix(': ')}"
        yield from (f"    {line}" for line in more)
        for frame in each.get("frames", ()):
            yield from _frame(frame)


def _titled(exceptions: Sequence[Object], each: Object) -> str:
    return one_line(exceptions[each["parent"]].get("type", "it"))


def _frame(frame: Object) -> Iterator[str]:
    function = f" in {one_line(frame['function'])}" if frame.get("function") else ""
    yield f"    {one_line(frame.get('file', '?'))}:{frame.get('line', 0)}{function}"
    before, after = frame.get("before", ()), frame.get("after", ())
    if not before and not after:
        if frame.get("code"):
            yield f"          {one_line(frame['code'])}"
        return
    first = frame.get("line", 0) - len(before)
    for number, line in enumerate([*before, frame.get("code", ""), *after], first):
        mark = ">" if number == frame.get("line") else " "
        yield f"    {mark}{number:5} {one_line(line)}".rstrip()


def _lines(text: str) -> list[str]:
    return [one_line(line) for line in text.split("\n")]
