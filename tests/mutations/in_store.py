"""Faults in the store: versions, the history and who watches it, merging, and how objects go."""

from __future__ import annotations

from mutations.fault import Fault

STORE = "controller/steersman/store"
LAWS = "tests/laws/test_store.py::TestSqlite"
TWO = "tests/laws/test_store.py::TestSqliteOfTwo"
HISTORY = "tests/unit/test_store_history.py"
LANE = "tests/unit/test_store_lane.py"
FEED = "tests/unit/test_store_feed.py"
MANAGERS = "tests/unit/test_store_managers.py"

FAULTS = (
    # Who may write, and what that counts.
    Fault(
        "expected-version-ignored",
        f"{STORE}/objects.py",
        "if self.version is not None and self.version != found:",
        "if self.version is not None and self.version > found:",
        f"{LAWS}::test_a_stale_writer_is_refused_by_both_versions",
    ),
    Fault(
        "uid-ignored",
        f"{STORE}/objects.py",
        "if self.uid is not None and (seen is None or seen.uid != self.uid):",
        "if self.uid is not None and seen is None:",
        f"{LAWS}::test_another_object_of_the_name_is_not_meant",
    ),
    Fault(
        "labels-raise-the-generation",
        f"{STORE}/objects.py",
        'elif not is_same(made["spec"], seen.object["spec"]):',
        "else:",
        f"{LAWS}::test_spec_changes_raise_the_generation_and_labels_do_not",
    ),
    Fault(
        "status-put-with-the-spec",
        f"{STORE}/objects.py",
        'if key not in ("metadata", "status")}',
        'if key != "metadata"}',
        f"{LAWS}::test_put_keeps_status_and_ignores_the_callers",
    ),
    Fault(
        "dry-run-kept",
        f"{STORE}/sqlite.py",
        "raise Undo(as_before(answer, session.log[logged:]))",
        "return as_before(answer, session.log[logged:])",
        f"{LAWS}::test_a_dry_run_answers_and_changes_nothing",
    ),
    # Transactions that are shared.
    Fault(
        "told-before-the-commit",
        f"{STORE}/lane.py",
        '        else:\n            connection.execute("RELEASE one")\n            return\n',
        '        else:\n            connection.execute("RELEASE one")\n'
        "            call.future.get_loop().call_soon_threadsafe(call.settle)\n"
        "            __import__('time').sleep(0.01)\n            return\n",
        f"{LANE}::test_what_queues_up_is_committed_once_and_told_after_that",
    ),
    Fault(
        "failed-call-not-undone",
        f"{STORE}/lane.py",
        '        connection.execute("ROLLBACK TO one")\n',
        "",
        f"{LAWS}::test_a_dry_run_answers_and_changes_nothing",
    ),
    Fault(
        "undone-changes-are-told",
        f"{STORE}/lane.py",
        "        del session.log[logged:]\n",
        "",
        f"{LAWS}::test_what_changes_nothing_is_not_told",
    ),
    Fault(
        "one-failure-fails-all",
        f"{STORE}/lane.py",
        "if len(calls) > 1 and not isinstance(error, apsw.BusyError):",
        "if len(calls) > 256:",
        f"{LANE}::test_a_call_that_breaks_the_transaction_costs_the_others_nothing",
    ),
    Fault(
        "no-turn-between-transactions",
        f"{STORE}/lane.py",
        "            self._thread.submit(self._drain, loop)\n\n    def _drain_some",
        "            self._drain(loop)\n\n    def _drain_some",
        f"{LANE}::test_what_runs_between_transactions_has_its_turn",
    ),
    Fault(
        "closed-before-what-was-queued",
        f"{STORE}/lane.py",
        "        while self._drain_some(loop):\n            pass\n",
        "",
        f"{LANE}::test_calls_before_a_close_are_made",
    ),
    # The history.
    Fault(
        "page-goes-on-with-what-is-now",
        f"{STORE}/versions.py",
        "    if revision < newest:\n        _go_back(session, held, revision)\n",
        "",
        f"{LAWS}::test_pages_go_on_at_the_revision_they_began_with",
    ),
    Fault(
        "last-change-goes-back-first",
        f"{STORE}/versions.py",
        'WHERE revision > ? ORDER BY revision", revision',
        'WHERE revision > ? ORDER BY revision DESC", revision',
        f"{LAWS}::test_pages_go_on_at_the_revision_they_began_with",
    ),
    Fault(
        "compaction-takes-what-a-kept-page-shows",
        f"{STORE}/versions.py",
        "(SELECT before FROM versions WHERE revision > ? AND revision <= ?)",
        "(SELECT before FROM versions WHERE revision > ? OR revision > ?)",
        f"{HISTORY}::test_what_a_kept_page_shows_is_kept",
    ),
    Fault(
        "compaction-unnoticed",
        f"{STORE}/versions.py",
        "if not oldest <= revision <= newest:",
        "if revision > newest:",
        f"{LAWS}::test_what_is_forgotten_is_gone_and_said_to_be",
    ),
    Fault(
        "log-grows-for-ever",
        f"{STORE}/versions.py",
        "        if revision % _EVERY == 0:\n",
        "        if revision < 0:\n",
        f"{HISTORY}::test_the_log_is_bounded_by_count",
    ),
    Fault(
        "age-ignored",
        f"{STORE}/versions.py",
        "    if oldest is not None:\n",
        "    if oldest is not None and oldest < 0:\n",
        f"{HISTORY}::test_the_log_is_bounded_by_age",
    ),
    # Watching.
    Fault(
        "others-never-seen",
        f"{STORE}/history.py",
        "if self._told is not None and others != self._others:",
        "if self._told is not None and others < 0:",
        f"{TWO}::test_changes_come_in_order_with_their_objects",
    ),
    Fault(
        "watcher-trusts-any-revision",
        f"{STORE}/watcher.py",
        "        self._is_known = False\n",
        "        self._is_known = True\n",
        f"{LAWS}::test_a_revision_of_another_history_is_refused",
    ),
    Fault(
        "all-woken-at-once",
        f"{STORE}/feed.py",
        "for _ in range(min(_AT_ONCE, len(self._due))):",
        "for _ in range(len(self._due)):",
        f"{FEED}::test_watchers_are_woken_a_few_at_a_time",
    ),
    Fault(
        "writers-do-not-go-first",
        f"{STORE}/feed.py",
        "elif self._source.is_writing and loop.time() < self._rest_until:",
        "elif self._source.is_writing and loop.time() < 0:",
        f"{FEED}::test_watchers_come_last_but_they_come",
    ),
    Fault(
        "news-wait-for-those-behind",
        f"{STORE}/feed.py",
        "        if self._is_news:\n",
        "        if self._is_news and not self._due:\n",
        f"{FEED}::test_who_is_far_behind_lets_others_have_their_turn",
    ),
    Fault(
        "everybody-reads-the-log",
        f"{STORE}/feed.py",
        "            if self.after(since) is None and not self.is_closed:\n",
        "            if not self.is_closed:\n",
        f"{FEED}::test_what_many_missed_is_read_once",
    ),
    Fault(
        "what-leaves-a-selection-is-modified",
        f"{STORE}/watcher.py",
        "return _gone_from_sight(logged) if was else None",
        "return change if was else None",
        f"{LAWS}::test_labels_make_objects_come_and_go",
    ),
    # Merging.
    Fault(
        "conflict-with-oneself",
        f"{STORE}/managers.py",
        "for o, e in self._entries.items() if o.manager != manager}",
        'for o, e in self._entries.items() if o != Owner(manager, "Apply")}',
        f"{LAWS}::test_a_manager_never_conflicts_with_itself",
    ),
    Fault(
        "shared-field-removed",
        f"{STORE}/managers.py",
        "given_up = managers.of(me) - wanted.keys() - kept",
        "given_up = managers.of(me) - wanted.keys()",
        f"{LAWS}::test_a_field_of_two_goes_with_the_second",
    ),
    Fault(
        "forced-field-stays-with-both",
        f"{STORE}/managers.py",
        "managers.take(touched | given_up, keeper=me)",
        "managers.take(given_up, keeper=me)",
        f"{LAWS}::test_force_takes_fields_over",
    ),
    Fault(
        "put-owns-nothing",
        f"{STORE}/managers.py",
        "    managers.take(changed | removed)\n",
        "",
        f"{LAWS}::test_put_takes_over_what_it_changes",
    ),
    Fault(
        "swept-fields-unprotected",
        f"{STORE}/managers.py",
        "return (changed & live.keys()) | swept | below",
        "return changed & live.keys()",
        f"{MANAGERS}::test_what_changes_its_kind_is_a_conflict",
    ),
    # How objects go.
    Fault(
        "dependents-stay",
        f"{STORE}/deletion.py",
        "            elif not each.is_being_deleted:\n                self._begin(each)\n",
        "",
        f"{LAWS}::test_dependents_go_with_their_owner",
    ),
    Fault(
        "any-owner-of-the-name",
        f"{STORE}/tables.py",
        'return is_named and reference.get("uid") in (None, self.uid)',
        "return is_named",
        f"{LAWS}::test_a_later_object_of_the_name_owns_nothing",
    ),
    Fault(
        "circle-waits-for-ever",
        f"{STORE}/deletion.py",
        "        if not all(each.is_being_deleted and _waits(each) for each in below):\n",
        "        if below:\n",
        f"{LAWS}::test_a_circle_goes_together",
    ),
    Fault(
        "foreground-owner-goes-first",
        f"{STORE}/deletion.py",
        "marked[row.uid] = self._mark(row, FOREGROUND) if below else row",
        "marked[row.uid] = row",
        f"{LAWS}::test_in_the_foreground_an_owner_goes_last",
    ),
    Fault(
        "deletion-time-moves",
        f"{STORE}/deletion.py",
        "        if row.is_being_deleted and not added:\n            return row\n",
        "",
        f"{LAWS}::test_a_finalizer_holds_until_it_is_removed",
    ),
    Fault(
        "who-waits-is-not-told-to-go",
        f"{STORE}/deletion.py",
        "        # It may have waited for those that were its dependents until now.\n"
        "        self._unsettled[seen.kind, seen.name] = None\n",
        "",
        f"{LAWS}::test_who_waits_for_dependents_may_be_told_to_leave_them",
    ),
    Fault(
        "finalizers-added-on-the-way-out",
        f"{STORE}/objects.py",
        '        raise BeingDeleted(seen.kind, seen.name, f"finalizers',
        '        BeingDeleted(seen.kind, seen.name, f"finalizers',
        f"{LAWS}::test_who_is_being_deleted_takes_no_finalizer",
    ),
    Fault(
        "secret-values-outlive-it",
        f"{STORE}/deletion.py",
        "            self._table.wipe_secret(row.name)\n",
        "            pass\n",
        f"{LAWS}::test_values_go_with_their_secret_and_not_before",
    ),
    Fault(
        "orphans-remember",
        f"{STORE}/deletion.py",
        "                self._disown(each, seen)\n            row = ",
        "                pass\n            row = ",
        f"{LAWS}::test_orphans_stay_and_forget_their_owner",
    ),
    Fault(
        "writes-of-others-not-heard-of",
        f"{STORE}/history.py",
        "            loop.add_reader(self._touches, self._touched)\n",
        "",
        f"{HISTORY}::test_a_file_that_nobody_writes_to_is_left_alone",
    ),
    Fault(
        "quiet-file-looked-at-all-the-time",
        f"{STORE}/history.py",
        "        return _REST if self._touches is not None and is_quiet else _LOOK\n",
        "        return _LOOK\n",
        f"{HISTORY}::test_a_file_that_nobody_writes_to_is_left_alone",
    ),
)
