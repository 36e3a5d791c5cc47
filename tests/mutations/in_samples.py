"""Faults in what is measured: the ear on hosts, the samples that are kept, and who sees them."""

from __future__ import annotations

from mutations.fault import Fault

HAND = "controller/steersman/hand"
KEPT = "controller/steersman/telemetry"
EAR = "tests/unit/test_hand_statsd.py"
SAMPLES = "tests/unit/test_telemetry_samples.py"
LISTENING = "tests/unit/test_telemetry_listening.py"
ASKING = (
    "tests/unit/test_telemetry_asking.py"
    "::test_a_host_is_asked_anew_when_its_app_has_other_routes_and_at_no_other_time"
)
MEASURED = "tests/unit/test_server_measured.py"

FAULTS = (
    Fault(
        "jobs-send-nowhere",
        f"{HAND}/jobrun.py",
        'definition["process"] or "@once")',
        'definition["process"])',
        "tests/unit/test_hand_jobrun.py::test_a_job_of_no_process_has_what_all_that_runs_once_has",
    ),
    Fault(
        "many-errors-have-no-room",
        "controller/steersman/server/keep.py",
        "max(_ERRORS.size, _ERRORS.size // _ERRORS.groups * self.groups)",
        "_ERRORS.size",
        "tests/unit/test_serve_config.py::test_how_much_is_kept_is_read",
    ),
    Fault(
        "logs-begin-anew-behind-a-loss",
        f"{HAND}/systemd.py",
        "        if is_cursor(cursor):\n",
        "        if not is_cursor(cursor):\n",
        "tests/unit/test_hand_listen.py"
        "::test_followed_lines_say_where_to_go_on_and_how_bad_they_are",
    ),
    Fault(
        "ends-of-before-told-as-new",
        f"{HAND}/exits.py",
        "        if before is None:\n            return []\n",
        "        if before is None:\n            return lines\n",
        "tests/unit/test_hand_exits.py::test_ends_are_told_with_how_and_not_what_was_asked_for",
    ),
    Fault(
        "failed-reconcile-not-counted",
        "controller/steersman/control/keeper.py",
        '        self.errors[key.partition("/")[0]] += 1\n',
        "",
        "tests/unit/test_telemetry_health.py"
        "::test_reconciles_and_errors_of_a_real_keeper_are_counted",
    ),
    Fault(
        "growth-told-once-never-shown",
        f"{KEPT}/sampling.py",
        "max(entry.seen, question.known) - t)",
        "entry.seen - t)",
        f"{SAMPLES}::test_what_grew_once_and_was_told_of_once_is_shown",
    ),
    Fault(
        "first-line-of-an-app-passed-over",
        f"{HAND}/journal.py",
        "            self._follow()\n            return\n",
        "            self._follow()\n",
        "tests/unit/test_hand_listen.py"
        "::test_the_first_line_of_an_app_that_just_came_is_not_passed_over",
    ),
    Fault(
        "counter-begun-anew-seen-as-a-fall",
        f"{KEPT}/samples.py",
        "            grown = value if grown < 0 else grown\n",
        "",
        f"{SAMPLES}::test_rates_survive_a_counter_that_begins_again",
    ),
    Fault(
        "point-replaced-after-a-restart",
        f"{KEPT}/samplefile.py",
        '" sum = sum + excluded.sum, ',
        '" sum = excluded.sum, ',
        f"{SAMPLES}::test_all_is_there_after_a_restart_and_counters_go_on",
    ),
    Fault(
        "samples-without-bound",
        f"{KEPT}/samplefile.py",
        "    while used_bytes(session) > most * _SPARE:\n",
        "    while used_bytes(session) < 0:\n",
        f"{SAMPLES}::test_the_file_stays_within_its_bound_and_the_oldest_go",
    ),
    Fault(
        "one-app-takes-all-series",
        f"{KEPT}/registry.py",
        "if app and self._by_app[app] >= self._most // 4:",
        "if app and self._by_app[app] >= self._most:",
        f"{SAMPLES}::test_series_are_bounded_and_one_app_cannot_take_all",
    ),
    Fault(
        "rate-falls-at-its-end",
        f"{KEPT}/sampling.py",
        "            yield t, grown / known\n",
        "            yield t, grown / question.step\n",
        f"{SAMPLES}::test_rates_survive_a_counter_that_begins_again",
    ),
    Fault(
        "apps-shown-to-others",
        "controller/steersman/server/measured.py",
        '    return allows(ask.subject, "get", "Sample", app or None)\n',
        "    return True\n",
        f"{MEASURED}::test_a_deployer_sees_its_own_app_alone",
    ),
    Fault(
        "secret-in-a-tag-shown",
        f"{KEPT}/heard.py",
        "        if self._named(names) == names and text(values) == values:\n",
        "        if names:\n",
        "tests/unit/test_telemetry_listening.py::test_an_apps_own_metrics_hold_no_secret",
    ),
    Fault(
        "app-labelled-as-it-likes",
        f"{HAND}/ear_lines.py",
        "        if name in OURS or name[0].isdigit():\n",
        "        if name[0].isdigit():\n",
        f"{EAR}::test_lines_come_to_series",
    ),
    Fault(
        "room-of-a-forgotten-series-lost",
        f"{HAND}/ear_sums.py",
        "        self._room.left += 1\n",
        "",
        f"{EAR}::test_an_app_has_so_many_series_and_gets_room_back",
    ),
    Fault(
        "gap-not-told-of",
        f"{HAND}/ear.py",
        "client = Client(connection, self._acked - AGAIN)",
        "client = Client(connection, self._number)",
        f"{EAR}::test_an_ear_outlives_its_hand_and_tells_the_next_what_it_heard",
    ),
    Fault(
        "ear-taken-along-by-its-hand",
        f"{HAND}/statsd.py",
        "                start_new_session=True,\n",
        "",
        f"{EAR}::test_an_ear_outlives_its_hand_and_tells_the_next_what_it_heard",
    ),
    Fault(
        "kept-without-bound",
        f"{HAND}/ear.py",
        "while self._size > MOST_KEPT or self._kept",
        "while self._kept",
        f"{EAR}::test_what_is_kept_for_a_hand_is_bounded_in_time_and_size",
    ),
    Fault(
        "port-held-too-late",
        f"{HAND}/statsd.py",
        "            self._folders.watch([self._place.app(app), folder])\n",
        "",
        f"{EAR}::test_the_first_app_of_a_host_is_heard_from_its_first_datagram",
    ),
    Fault(
        "own-statsd-overruled",
        "controller/steersman/control/statsd.py",
        " or HOST in own or PORT in own:",
        ":",
        "tests/unit/test_control_statsd.py::test_what_the_app_says_itself_wins",
    ),
    Fault(
        "minutes-of-a-killed-daemon-lost",
        f"{KEPT}/samples.py",
        "            self._unsummed.update(unsummed)\n",
        "",
        f"{SAMPLES}::test_minutes_are_whole_also_after_a_kill",
    ),
    Fault(
        "minute-rolled-up-again-and-again",
        f"{KEPT}/samples.py",
        "if is_asked or t + MINUTE + LATE <= now)",
        "if is_asked or t <= now)",
        f"{SAMPLES}::test_a_minute_is_rolled_up_once_it_is_over",
    ),
    Fault(
        "new-secret-shown-by-a-known-series",
        f"{KEPT}/heard.py",
        "            self._series.clear()\n",
        "",
        f"{LISTENING}::test_a_secret_that_is_learned_later_is_in_no_metric_from_then_on",
    ),
    Fault(
        "series-that-hosts-make-up-kept-without-bound",
        f"{KEPT}/heard.py",
        "            if _size(said) <= MOST_KEPT:\n",
        "            if said:\n",
        f"{LISTENING}::test_names_that_a_host_makes_up_are_kept_in_bounds",
    ),
    Fault(
        "apps-asked-for-again-and-again",
        f"{KEPT}/listening.py",
        "                if changes == self._asking.changes:\n                    continue\n",
        "",
        ASKING,
    ),
    Fault(
        "other-routes-not-heard-of",
        f"{KEPT}/asking.py",
        'if change.type != "BOOKMARK":',
        'if change.type == "BOOKMARK":',
        "tests/unit/test_telemetry_asking.py::test_a_bookmark_is_no_change_of_an_app",
    ),
    Fault(
        "everything-told-to-everybody",
        f"{KEPT}/hub.py",
        "if not types or type_ in types)",
        "if types is not None)",
        "tests/unit/test_telemetry_hub.py::test_who_joins_for_a_kind_hears_of_no_other",
    ),
    Fault(
        "position-written-though-it-stands",
        f"{KEPT}/positions.py",
        "        if self._written.get(host) == data:\n",
        "        if self._written.get(host) is data:\n",
        f"{LISTENING}::test_a_position_that_stands_is_not_written_again",
    ),
    Fault(
        "nothing-told-again-and-again",
        f"{HAND}/ear_sums.py",
        "            if many == before and self._turn % RARELY:\n",
        "            if many < before:\n",
        f"{EAR}::test_what_did_not_come_is_told_now_and_then",
    ),
    Fault(
        "growth-spread-over-the-silence-before",
        f"{HAND}/ear_sums.py",
        '                yield full, float(max(before, 0)), self._labels, "counter", True\n',
        "                pass\n",
        f"{EAR}::test_what_did_not_come_is_told_now_and_then",
    ),
)
