"""What a hand says of its apps, turned into signals. Hosts are not believed more than they must."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from typing import Any

from steersman.api.mask import Masks
from steersman.api.signals import Exited, LogRecord, Origin, Sample, Signal
from steersman.planning.seen import job_of_unit, parse_unit
from steersman.telemetry import lines

LONGEST_NAME = 200
MOST_LABELS = 30
MOST_SERIES, MOST_KEPT = 10_000, 1000
"""Series whose names and labels are kept at hand, and the characters that one may have."""

_NOT_NAME = re.compile(r"[^A-Za-z0-9_:]")
Series = tuple[str, tuple[tuple[str, str], ...]]
"""A name and labels."""
Known = Callable[[str, int], str]
"""Return the commit of a release of an app, "" where it is not known."""


class Heard:
    """One host's messages as signals; those that are not what they should be are counted only."""

    def __init__(self, host: str, masks: Masks, commit_of: Known) -> None:
        self._host = host
        self._masks = masks
        self._commit_of = commit_of
        self._origins: dict[str, Origin] = {}
        self._series: dict[Series, tuple[str, dict[str, str]]] = {}
        self._masked_by = 0
        self._levels: Counter[tuple[str, str, str]] = Counter()
        self.lacks: list[str] = []
        """What the host cannot tell, and why; whoever reads it empties it."""
        self.bad = 0

    def signals(self, messages: list[Any]) -> Iterator[Signal]:
        """Yield what messages say, in their order."""
        for message in messages:
            try:
                signal = self._signal(message)
            except (AttributeError, KeyError, TypeError, ValueError, OverflowError):
                self.bad += 1
            else:
                yield signal

    def apps_in(self, messages: list[Any]) -> set[str]:
        """Return the apps whose lines, or metrics of their own, are among the messages."""
        lines = [each.get("log") for each in messages if isinstance(each, dict)]
        units = {str(line[0]) for line in lines if isinstance(line, list) and line}
        samples = [each.get("sample") for each in messages if isinstance(each, dict)]
        own = {_app_of(sample) for sample in samples}
        return ({self._origin(unit).app for unit in units} | own) - {""}

    def counts(self, now: float) -> Iterator[Sample]:
        """Yield how many lines there were so far, by level."""
        for (app, process, level), count in self._levels.items():
            labels = {"app": app, "process": process, "host": self._host, "level": level}
            yield _sample(now, "steersman_log_lines_total", float(count), labels, "counter")

    def _signal(self, message: Mapping[str, Any]) -> Signal:
        if "log" in message:
            return self._line(*message["log"])
        if "sample" in message:
            return self._measured(message["t"], *message["sample"])
        if "exit" in message:
            return self._exit(message["exit"])
        self.lacks.append(str(message["lack"])[:LONGEST_NAME])
        raise KeyError("lack")

    def _line(self, unit: str, at: float, text: str, priority: int) -> LogRecord:
        said = self._read(self._masks.text(str(text)), priority)
        origin = self._origin(str(unit))
        self._levels[origin.app, origin.process, said.level] += 1
        return LogRecord(
            time=float(at), origin=origin, text=said.text, level=said.level, fields=said.fields
        )

    def _read(self, line: str, priority: int) -> lines.Said:
        """Return what a masked line says: what its JSON escaped is to be masked after that."""
        said = lines.read(line, priority)
        if "\\" not in line:
            return said
        text = self._masks.text
        fields = {
            text(key): text(each) if isinstance(each, str) else each
            for key, each in said.fields.items()
        }
        return lines.Said(text(said.text), said.level, fields)

    def _exit(self, told: Mapping[str, Any]) -> Exited:
        code = told.get("code")
        return Exited(
            time=float(told["t"]),
            origin=self._origin(str(told["unit"])),
            code=int(code) if code is not None else None,
            signal=str(told.get("signal", ""))[:20],
            is_oom=told.get("oom") is True,
            has_core=told.get("core") is True,
            restarts=int(told.get("count", 0)),
        )

    def _measured(
        self, at: float, name: str, value: float, labels: Mapping[str, str], kind: str
    ) -> Sample:
        if self._masked_by != self._masks.count or len(self._series) >= MOST_SERIES:
            self._masked_by = self._masks.count
            self._series.clear()
        said = name, tuple(labels.items())
        known = self._series.get(said)
        if known is None:
            known = self._labelled(name, labels)
            if _size(said) <= MOST_KEPT:
                self._series[said] = known
        return _sample(at, known[0], value, known[1], kind)

    def _labelled(self, name: str, labels: Mapping[str, str]) -> tuple[str, dict[str, str]]:
        """Return the name and labels that a sample gets: nothing but its value is new later on."""
        own = {
            str(key)[:LONGEST_NAME]: str(labels[key])[:LONGEST_NAME]
            for key in list(labels)[:MOST_LABELS]
        }
        unit = own.pop("unit", None)
        if unit is not None:
            origin = self._origin(str(unit))
            own |= {"app": origin.app, "process": origin.process, "instance": origin.instance}
            own["release"] = str(origin.release)
        own["host"] = self._host
        return self._masked(str(name)[:LONGEST_NAME], own)

    def _masked(self, name: str, labels: dict[str, str]) -> tuple[str, dict[str, str]]:
        """Return a name and labels with no secret in them: an app says what it likes in those."""
        names, values = "\n".join([name, *labels]), "\n".join(labels.values())
        text = self._masks.text
        if self._named(names) == names and text(values) == values:
            return name, labels
        shown = {_NOT_NAME.sub("_", self._named(key)): text(each) for key, each in labels.items()}
        return _NOT_NAME.sub("_", self._named(name)), shown

    def _named(self, names: str) -> str:
        """Return names without secrets, of which a metric's may have no more than the letters."""
        return self._masks.name(self._masks.text(names))

    def _origin(self, unit: str) -> Origin:
        known = self._origins.get(unit)
        if known is None:
            if len(self._origins) > 10_000:
                self._origins.clear()
            known = self._origins[unit] = self._found_origin(unit)
        elif known.release and not known.commit:
            # Told later than its first line; of a path, never: this is asked for each of its lines.
            commit = self._commit_of(known.app, known.release)
            if commit:
                known = self._origins[unit] = replace(known, commit=commit)
        return known

    def _found_origin(self, unit: str) -> Origin:
        parsed, job = parse_unit(unit), job_of_unit(unit)
        if parsed is not None:
            return Origin(
                host=self._host,
                app=parsed.app,
                process=parsed.process,
                instance=parsed.instance or "",
                release=parsed.number,
                commit=self._commit_of(parsed.app, parsed.number),
            )
        app, process = job if job is not None else ("", "")
        return Origin(host=self._host, app=app, process=process)


def _app_of(sample: object) -> str:
    match sample:
        case [_, _, {"app": str(app)}, *_]:
            return app
    return ""


def _size(said: Series) -> int:
    return len(said[0]) + sum(len(label) + len(str(value)) for label, value in said[1])


def _sample(at: float, name: str, value: float, labels: dict[str, str], kind: str) -> Sample:
    made = "counter" if kind == "counter" else "gauge"
    return Sample(time=float(at), name=name, value=float(value), labels=labels, kind=made)  # type: ignore[arg-type]
