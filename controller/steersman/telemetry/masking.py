"""Errors without secret values: what programs print of them is often what they worked on."""

from __future__ import annotations

from dataclasses import replace

from steersman.api.mask import Masks
from steersman.api.signals import ErrorReport, Frame, LogRecord, Raised


def masked(report: ErrorReport, masks: Masks) -> ErrorReport:
    """Return the report with every value masked in whatever text an app had a say in."""
    return replace(
        report,
        title=masks.text(report.title),
        message=masks.text(report.message),
        exceptions=tuple(_raised(each, masks) for each in report.exceptions),
        breadcrumbs=tuple(_record(each, masks) for each in report.breadcrumbs),
    )


def _raised(raised: Raised, masks: Masks) -> Raised:
    return replace(
        raised,
        type=masks.text(raised.type),
        message=masks.text(raised.message),
        frames=tuple(_frame(each, masks) for each in raised.frames),
    )


def _frame(frame: Frame, masks: Masks) -> Frame:
    around = "\n".join((*frame.before, frame.code, *frame.after))
    clean = replace(frame, file=masks.text(frame.file), function=masks.text(frame.function))
    if masks.text(around) == around:
        return clean
    return replace(
        clean,
        code=masks.text(frame.code),
        before=tuple(map(masks.text, frame.before)),
        after=tuple(map(masks.text, frame.after)),
    )


def _record(record: LogRecord, masks: Masks) -> LogRecord:
    return replace(record, text=masks.text(record.text))
