"""What control says while it works, as plain data: for streams between a daemon and its clients."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, get_args

from steersman.api.errors import SteersmanError
from steersman.control.report import Reporter, Verdict
from steersman.planning.steps import Step

Told = dict[str, Any]
"""One call of a Reporter: {"told": its name, …} with the arguments by their names.

A step is {"text", "why"}: what a person may read of it, and never a value of the environment.
"""


class NotTold(SteersmanError):
    """Data that is no call of a Reporter: another version's, or not a daemon's at all."""

    def __init__(self, data: object) -> None:
        super().__init__(
            f"cannot read {str(data)[:80]!r} as progress; are `steer` and the daemon of the same"
            " version? `steer version` shows both"
        )


@dataclass(frozen=True, slots=True)
class ToldStep(Step):
    """A step as its reader knows it: what it does, and why."""

    op = "told"
    what: str

    @property
    def text(self) -> str:
        return self.what


class Teller:
    """A Reporter that gives each call to `tell` as plain data."""

    def __init__(self, tell: Callable[[Told], None]) -> None:
        self._tell = tell

    def object_changed(self, key: str, change: str) -> None:
        self._tell({"told": "object_changed", "key": key, "change": change})

    def said(self, subject: str, text: str) -> None:
        self._tell({"told": "said", "subject": subject, "text": text})

    def step_began(self, host: str, app: str, step: Step, number: int, of: int) -> None:
        where = {"host": host, "app": app, "step": _step(step)}
        self._tell({"told": "step_began", **where, "number": number, "of": of})

    def step_ended(self, host: str, app: str, step: Step, seconds: float) -> None:
        where = {"host": host, "app": app, "step": _step(step)}
        self._tell({"told": "step_ended", **where, "seconds": round(seconds, 4)})

    def host_ended(self, host: str, app: str, verdict: Verdict, detail: str) -> None:
        end = {"host": host, "app": app, "verdict": verdict, "detail": detail}
        self._tell({"told": "host_ended", **end})


def play(told: Mapping[str, Any], report: Reporter) -> None:
    """Make the call that `told` describes on `report`; raises NotTold for what is none."""
    try:
        match told["told"]:
            case "object_changed":
                report.object_changed(str(told["key"]), str(told["change"]))
            case "said":
                report.said(str(told["subject"]), str(told["text"]))
            case "step_began":
                number, of = int(told["number"]), int(told["of"])
                report.step_began(*_where(told), number, of)
            case "step_ended":
                report.step_ended(*_where(told), float(told["seconds"]))
            case "host_ended" if told["verdict"] in get_args(Verdict):
                host, app = str(told["host"]), str(told["app"])
                report.host_ended(host, app, told["verdict"], str(told["detail"]))
            case _:
                raise NotTold(told)
    except (KeyError, TypeError, ValueError) as error:
        raise NotTold(told) from error


def _step(step: Step) -> dict[str, str]:
    return {"text": step.text, "why": step.why}


def _where(told: Mapping[str, Any]) -> tuple[str, str, Step]:
    step = told["step"]
    made = ToldStep(why=str(step["why"]), what=str(step["text"]))
    return str(told["host"]), str(told["app"]), made
