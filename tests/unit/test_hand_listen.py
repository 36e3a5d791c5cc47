"""The ear of a host: what ended by itself, what sources say, and where to go on from."""

from __future__ import annotations

import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from steersman.hand import journal, listen, logfiles, measure
from steersman.hand.place import Place

UNIT = "steersman-shop.web.g3@1.service"


def place(tmp_path: Path, supervisor: str = "systemd") -> Place:
    folders = [str(tmp_path / name) for name in ("root", "run", "units", "sites", "tmpfiles")]
    for folder in folders:
        os.makedirs(folder, exist_ok=True)
    return Place(*folders, supervisor, "none", "system", {})


def said(what: str, **fields: str) -> dict[str, Any]:
    return {"UNIT": UNIT, "MESSAGE_ID": what, **fields}


def ended(*records: dict[str, Any]) -> list[dict[str, Any]]:
    ends = journal.Ends()
    found = [message["exit"] for record in records for message in ends.told(record, 7.0)]
    return [{k: v for k, v in each.items() if k not in ("unit", "t")} for each in found]


def test_a_process_that_ends_by_itself_is_told_with_how() -> None:
    exited = said(journal.EXITED, EXIT_CODE="exited", EXIT_STATUS="3")
    dumped = said(journal.EXITED, EXIT_CODE="dumped", EXIT_STATUS="11")
    killed = said(journal.EXITED, EXIT_CODE="killed", EXIT_STATUS="9")
    failed = said(journal.FAILED)
    assert ended(exited, failed) == [{"code": 3, "count": 1}]
    assert ended(dumped, failed) == [{"signal": "SIGSEGV", "core": True, "count": 1}]
    assert ended(said(journal.OOM), killed, failed) == [
        {"oom": True, "signal": "SIGKILL", "core": False, "count": 1}
    ]
    assert ended(said(journal.ENDED)) == [{"code": 0, "count": 1}]


def test_what_was_asked_to_stop_has_not_ended_by_itself() -> None:
    killed = said(journal.EXITED, EXIT_CODE="killed", EXIT_STATUS="9")
    stopped = [said(journal.STOPPING), killed, said(journal.FAILED)]
    assert ended(*stopped) == []
    again = [said(journal.STARTED), said(journal.EXITED, EXIT_CODE="exited", EXIT_STATUS="1")]
    assert ended(*stopped, *again, said(journal.FAILED)) == [{"code": 1, "count": 1}]


def test_only_instances_of_ours_are_told_of() -> None:
    assert ended({**said(journal.ENDED), "UNIT": "cron.service"}) == []


@pytest.mark.parametrize(
    ("message", "text"),
    [
        ("sail", "sail"),
        (None, ""),
        (list(b"\xff\x00sail"), "\\xff\x00sail"),
        (["two", "fields"], "two fields"),
        ("x" * (journal.LONGEST + 5), "x" * journal.LONGEST + "…"),
    ],
)
def test_a_message_of_the_journal_is_a_bounded_text(message: object, text: str) -> None:
    assert journal.text_of(message) == text


def test_log_files_go_on_where_they_were_left(tmp_path: Path) -> None:
    here = place(tmp_path, "supervisor")
    log = Path(logfiles.path_of(here, "steersman-shop.web.g3@1"))
    log.parent.mkdir(parents=True)
    log.write_text("before\n")
    source = logfiles.Lines(here, {"at": None})
    assert list(source.take()) == []
    with log.open("a") as file:
        file.write("one\nhal")
    assert [each["log"][2] for each in source.take()] == ["one"]
    at = json.loads(json.dumps(source.positions))
    with log.open("a") as file:
        file.write("f\n")
    log.rename(log.with_name(log.name + ".1"))
    log.write_text("rotated\n")
    again = logfiles.Lines(here, {"at": at})
    assert [each["log"][2] for each in again.take()] == ["rotated"]


class Supervisor:
    def seen(self) -> dict[str, list[Any]]:
        return {
            UNIT: ["active", "running", os.getpid()],
            "steersman-shop.target": ["active", "", 0],
        }

    def details(self, names: list[str]) -> dict[str, dict[str, object]]:
        return {name: {"restarts": 2} for name in names}


def test_a_source_that_fails_takes_no_other_along(tmp_path: Path) -> None:
    sources: dict[str, dict[str, Any]] = {"processes": {}, "unheard": {}, "host": {}}
    heard = listen.heard(place(tmp_path), Supervisor(), sources, threading.Event())
    header, body = next(heard)
    heard.close()
    messages = json.loads(body)
    assert header["count"] == len(messages)
    assert [m["lack"] for m in messages if "lack" in m] == [
        "unheard: this hand cannot listen to unheard"
    ]
    values = {m["sample"][0]: m["sample"][1] for m in messages if "sample" in m}
    assert values["steersman_process_restarts_total"] == 2
    assert values["steersman_process_threads"] >= 1
    assert values["steersman_process_pss_bytes"] > 0
    assert values["steersman_host_memory_bytes"] > 0


def test_a_process_that_is_gone_uses_nothing() -> None:
    assert measure.usage(2**22, with_pss=True) == {}
