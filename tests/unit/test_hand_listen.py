"""The ear of a host: what ended by itself, what sources say, and where to go on from."""

from __future__ import annotations

import json
import os
import select
import threading
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.hand import journal, listen, logfiles, measure, systemd
from steersman.hand.place import Place
from steersman.transport.frames import MAX_BODY

UNIT = "steersman-shop.web.g3@1.service"


def place(tmp_path: Path, supervisor: str = "systemd") -> Place:
    folders = [str(tmp_path / name) for name in ("root", "run", "units", "sites", "tmpfiles")]
    for folder in folders:
        os.makedirs(folder, exist_ok=True)
    extra = {"supervisor": str(tmp_path / "supervisor.sock")}
    root, run, units, sites, tmpfiles = folders
    return Place(root, run, units, sites, tmpfiles, supervisor, "none", "system", extra)


def logged(source: logfiles.Lines) -> list[str]:
    return [each["log"][2] for each in source.take() if "log" in each]


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


def test_who_goes_on_takes_no_stop_for_a_crash() -> None:
    before = journal.Ends()
    assert not list(before.told(said(journal.STOPPING), 7.0))
    after = journal.Ends(json.loads(json.dumps(before.known())))
    killed = said(journal.EXITED, EXIT_CODE="killed", EXIT_STATUS="9")
    assert not [end for each in (killed, said(journal.FAILED)) for end in after.told(each, 8.0)]
    assert after.known() == {"stopping": [], "ends": {}}


def test_who_goes_on_knows_how_it_ended() -> None:
    before = journal.Ends()
    exited = said(journal.EXITED, EXIT_CODE="exited", EXIT_STATUS="3")
    assert not list(before.told(exited, 7.0))
    after = journal.Ends(json.loads(json.dumps(before.known())))
    (told,) = after.told(said(journal.FAILED), 8.0)
    assert told["exit"]["code"] == 3


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
    assert logged(source) == []
    with log.open("a") as file:
        file.write("one\nhal")
    assert logged(source) == ["one"]
    at = json.loads(json.dumps(source.positions))
    with log.open("a") as file:
        file.write("f\n")
    log.rename(log.with_name(log.name + ".1"))
    log.write_text("rotated\n")
    again = logfiles.Lines(here, {"at": at})
    texts = [*logged(again), *logged(again)]
    assert texts == ["half", "rotated"], "what was written before the rename is not lost"


def record(number: int, **fields: object) -> bytes:
    known = {"__CURSOR": f"s=a;i={number}", "__REALTIME_TIMESTAMP": "7000000"}
    return json.dumps({**known, "_SYSTEMD_UNIT": UNIT, **fields}).encode()


def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Have `script` called where journalctl would be; return the file of what it was given."""
    program = tmp_path / "bin/journalctl"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/given\n{script}\n')
    program.chmod(0o755)
    for caller in (journal, systemd):
        monkeypatch.setattr(caller, "CHILD_ENV", {"PATH": f"{program.parent}:/usr/bin:/bin"})
    # posix_spawn looks for programs on this process's own PATH.
    monkeypatch.setenv("PATH", f"{program.parent}:/usr/bin:/bin")
    return tmp_path / "given"


def texts_of(source: journal.Journal, count: int) -> list[str]:
    found = [each["log"][2] for each in source.take()]
    while len(found) < count:
        select.select(source.fds, (), (), 5.0)
        found += [each["log"][2] for each in source.take()]
    return found


def test_a_record_beyond_all_bounds_is_left_out_and_its_neighbours_are_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    huge = record(2, MESSAGE="x" * (2 * journal.LONGEST_RECORD))
    said = tmp_path / "said"
    said.write_bytes(b"\n".join((record(1, MESSAGE="one"), huge, record(3, MESSAGE="three"), b"")))
    programs(tmp_path, monkeypatch, f"cat {said}; exec sleep 60")
    source = journal.Journal(place(tmp_path), {})
    try:
        assert texts_of(source, 2) == ["one", "three"]
        assert source.positions["cursor"] == "s=a;i=3"
    finally:
        source.close()


def test_who_asks_again_goes_on_behind_the_last_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = programs(
        tmp_path, monkeypatch, f"echo '{record(1, MESSAGE='one').decode()}'; exec cat"
    )
    for at in (None, {"cursor": "s=a;i=9"}, {"cursor": "--file=/etc/shadow", "since": 7.5}):
        source = journal.Journal(place(tmp_path), {"at": at})
        try:
            assert texts_of(source, 1) == ["one"]
        finally:
            source.close()
    asked = asked_for.read_text().splitlines()
    assert "--since=@" in asked[0]
    assert "--after-cursor=s=a;i=9" in asked[1]
    assert "--since=@7.500000" in asked[2], "what is no cursor is not asked for"


def test_the_first_line_of_an_app_that_just_came_is_not_passed_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    afloat, other = (record(n, MESSAGE=text).decode() for n, text in ((1, "afloat"), (2, "other")))
    # The journal has both; who does not ask for the name of an app is not told of its lines.
    script = f"""case "$*" in *steersman-wreck.worker*) echo '{afloat}';; esac
    echo '{other}'; exec sleep 60"""
    programs(tmp_path, monkeypatch, script)
    here = place(tmp_path)
    source = journal.Journal(here, {})
    try:
        assert list(source.take()) == []
        assert select.select(source.fds, (), (), 20.0)[0], "journalctl says nothing"
        Path(here.units, "steersman-wreck.worker.g1@.service").touch()
        assert texts_of(source, 2) == ["afloat", "other"]
    finally:
        source.close()


def test_a_journalctl_that_ends_is_asked_again_later_and_not_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked_for = programs(tmp_path, monkeypatch, "exit 1")
    heard = listen.heard(place(tmp_path), Supervisor(), {"lines": {}}, threading.Event())
    _, body = next(heard)
    heard.close()
    (lack,) = json.loads(body)
    assert lack["lack"].startswith("lines: journalctl has ended")
    assert len(asked_for.read_text().splitlines()) == 1


@given(st.lists(st.text(max_size=30), min_size=1, max_size=40))
def test_whatever_apps_write_fits_into_frames(texts: list[str]) -> None:
    batch = [{"log": [UNIT, 7.0, text, 6]} for text in texts]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(listen, "FRAME", 300)
        parts = list(listen.framed(batch))
    assert all(len(data) <= listen.FRAME for data, _ in parts)
    assert [is_last for _, is_last in parts] == [False] * (len(parts) - 1) + [True]
    assert [each for data, _ in parts for each in orjson.loads(data)] == batch


def test_what_is_no_unicode_is_json_nevertheless() -> None:
    ((data, _),) = listen.framed([{"lack": "\ud800 sail"}])
    assert orjson.loads(data) == [{"lack": "? sail"}]


def test_many_long_lines_at_once_break_no_link(tmp_path: Path) -> None:
    here = place(tmp_path, "supervisor")
    log = Path(logfiles.path_of(here, "steersman-shop.web.g3@1"))
    log.parent.mkdir(parents=True)
    known = {"steersman-shop.web.g3@1": [0, 0]}
    # Each control character takes six bytes in JSON.
    log.write_text("".join("\x01" * 16000 + f"{number}\n" for number in range(100)))
    sources = {"lines": {"at": known}}
    heard = listen.heard(here, Supervisor(), sources, threading.Event())
    numbers: list[int] = []
    while len(numbers) < 100:
        _, body = next(heard)
        assert len(body) < MAX_BODY
        lines = [each["log"][2] for each in json.loads(body) if "log" in each]
        numbers += [int(line.lstrip("\x01")) for line in lines]
    heard.close()
    assert numbers == list(range(100))


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


def test_followed_lines_say_where_to_go_on_and_how_bad_they_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = record(1, MESSAGE="boom", PRIORITY="3").decode()
    asked_for = programs(tmp_path, monkeypatch, f"echo '{words}'")
    supervisor = systemd.Systemd(place(tmp_path))
    monkeypatch.setattr(supervisor, "seen", dict)
    at: dict[str, Any] = {}
    for after in (at, {"cursor": "s=a;i=1"}, {"cursor": "--file=/etc/shadow"}):
        told = supervisor.follow(
            "steersman-shop.web.g*", "-60s", 5, False, threading.Event(), after=after
        )
        (entry,) = told
        assert (entry["line"], entry["priority"], entry["at"]) == ("boom", 3, {"cursor": "s=a;i=1"})
    first, second, third = asked_for.read_text().splitlines()
    assert "--since -60s" in first and "-n 5" in first
    assert "--after-cursor=s=a;i=1" in second and "--since" not in second
    assert "/etc/shadow" not in third and "--since -60s" in third
