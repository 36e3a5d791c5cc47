"""Faults in what runs on hosts: durability, the fence, gates, release commands and jobs."""

from __future__ import annotations

from mutations.fault import Fault

HAND = "controller/steersman/hand"
CUT = "tests/laws/test_powercut.py"
GATE = "tests/unit/test_hand_gate.py"
NGINX = "tests/unit/test_hand_nginx.py"
TRAFFIC = "tests/unit/test_hand_traffic.py"
PHASE = "tests/laws/test_release_phase.py"

FAULTS = (
    # What is acknowledged is durable; what a mark or pointer refers to is so before it moves.
    Fault(
        "file-not-synced",
        f"{HAND}/files.py",
        "            os.fsync(fd)\n        finally:\n            os.close(fd)\n        os.rename",
        "            pass\n        finally:\n            os.close(fd)\n        os.rename",
        f"{CUT}::test_a_file_is_the_old_one_or_the_new_one[proven]",
    ),
    Fault(
        "folder-of-file-not-synced",
        f"{HAND}/files.py",
        "    write_by(_temporary(path), path, data, mode, owner)\n    sync_dir(folder)\n",
        "    write_by(_temporary(path), path, data, mode, owner)\n",
        f"{CUT}::test_a_file_is_the_old_one_or_the_new_one[proven]",
    ),
    Fault(
        "file-written-in-place",
        f"{HAND}/files.py",
        "    write_by(_temporary(path), path, data, mode, owner)\n",
        "    write_by(path, path, data, mode, owner)\n",
        f"{CUT}::test_a_file_is_the_old_one_or_the_new_one[proven]",
    ),
    Fault(
        "new-folders-not-synced",
        f"{HAND}/files.py",
        "        sync_dir(os.path.dirname(folder))\n",
        "",
        f"{CUT}::test_a_folder_that_was_made_stays",
    ),
    Fault(
        "temporary-left-on-full-disk",
        f"{HAND}/files.py",
        "    except (OSError, Refused):\n        _discard(temporary)\n",
        "    except (OSError, Refused):\n",
        f"{CUT}::test_a_file_is_the_old_one_or_the_new_one[mended]",
    ),
    Fault(
        "link-not-synced",
        f"{HAND}/files.py",
        "        raise\n    sync_dir(folder)\n\n\ndef _temporary",
        "        raise\n\n\ndef _temporary",
        f"{CUT}::test_a_link_points_at_the_old_or_the_new",
    ),
    Fault(
        "link-removed-before-the-new-one",
        f"{HAND}/files.py",
        "        os.symlink(target, temporary)\n        os.rename(temporary, path)\n",
        "        os.unlink(path)\n        os.symlink(target, path)\n",
        f"{CUT}::test_a_link_points_at_the_old_or_the_new",
    ),
    Fault(
        "blob-not-synced",
        f"{HAND}/blobs.py",
        "        os.fsync(fd)\n",
        "",
        f"{CUT}::test_a_blob_has_its_name_only_when_it_is_whole",
    ),
    Fault(
        "store-not-synced",
        f"{HAND}/blobs.py",
        "    os.rename(partial, final)\n    files.sync_dir(place.store)\n",
        "    os.rename(partial, final)\n",
        f"{CUT}::test_a_blob_has_its_name_only_when_it_is_whole",
    ),
    Fault(
        "blob-not-verified",
        f"{HAND}/blobs.py",
        "os.path.getsize(partial) != size or sha256_of(partial) != sha256",
        "os.path.getsize(partial) != size",
        "tests/unit/test_hand_files.py::test_a_damaged_blob_never_gets_its_name",
    ),
    Fault(
        "build-not-synced",
        f"{HAND}/builds.py",
        "        files.sync_tree(folder)\n",
        "",
        f"{CUT}::test_a_mark_says_that_all_of_a_build_is_there[True]",
    ),
    Fault(
        "venv-not-synced",
        f"{HAND}/venvs.py",
        "            files.sync_filesystem(venv)\n",
        "",
        f"{CUT}::test_a_mark_says_that_all_of_a_build_is_there[False]",
    ),
    Fault(
        "release-not-synced",
        f"{HAND}/builds.py",
        "    os.rename(stage, final)\n    files.sync_dir(os.path.dirname(final))\n",
        "    os.rename(stage, final)\n",
        f"{CUT}::test_a_release_is_whole_or_absent",
    ),
    Fault(
        "job-record-not-synced",
        f"{HAND}/jobrun.py",
        "        os.fsync(folder)\n",
        "        pass\n",
        f"{CUT}::test_a_run_of_a_job_begins_only_behind_its_record",
    ),
    Fault(
        "guard-record-not-synced",
        f"{HAND}/guard.py",
        "        os.fsync(file.fileno())\n",
        "",
        f"{CUT}::test_a_guards_record_is_the_old_one_or_the_new_one",
    ),
    Fault(
        "guard-folder-not-synced",
        f"{HAND}/guard.py",
        "    os.fsync(folder)\n",
        "",
        f"{CUT}::test_a_guards_record_is_the_old_one_or_the_new_one",
    ),
    # The fence.
    Fault(
        "epoch-not-checked",
        f"{HAND}/fence.py",
        "        if epoch < stored:\n",
        "        if epoch < 0:\n",
        "tests/unit/test_hand_files.py::test_the_fence_refuses_an_older_epoch_and_a_second_holder",
    ),
    Fault(
        "equal-epochs",
        f"{HAND}/fence.py",
        "max(at_least, stored_epoch(self._place) + 1)",
        "max(at_least, stored_epoch(self._place))",
        "tests/unit/test_hand_files.py::test_a_claim_fences_off_whoever_came_before",
    ),
    Fault(
        "lock-not-taken",
        f"{HAND}/fence.py",
        "fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)",
        "fcntl.flock(fd, fcntl.LOCK_SH | fcntl.LOCK_NB)",
        "tests/unit/test_hand_files.py::test_a_claim_fences_off_whoever_came_before",
    ),
    Fault(
        "half-written-files-stay",
        f"{HAND}/fence.py",
        "        _sweep(self._place)\n",
        "",
        "tests/unit/test_hand_files.py::test_whoever_takes_a_host_removes_what_a_killed_hand_left",
    ),
    Fault(
        "steps-not-fenced",
        f"{HAND}/main.py",
        '            self._fence.check(int(request.get("epoch") or 0), self._holder)\n',
        "            pass\n",
        "tests/unit/test_hand_wire.py::test_changes_need_an_epoch_that_is_not_old",
    ),
    # Gates and drains.
    Fault(
        "gate-does-not-settle",
        f"{HAND}/health.py",
        "if good >= watch.good_in_a_row and settled:",
        "if good >= watch.good_in_a_row:",
        f"{GATE}::test_a_generation_settles_before_it_passes",
    ),
    Fault(
        "one-good-answer-is-enough",
        f"{HAND}/health.py",
        "good = 0 if wrong else good + 1",
        "good = good if wrong else good + 1",
        f"{GATE}::test_good_answers_must_come_in_a_row",
    ),
    Fault(
        "progress-deadline-ignored-by-the-gate",
        f"{HAND}/health.py",
        "late = now - started > deadline",
        "late = False",
        f"{GATE}::test_an_app_has_until_the_deadline_to_answer_and_no_longer",
    ),
    Fault(
        "any-answer-is-healthy",
        f"{HAND}/health.py",
        "200 <= int(words[1]) < 400",
        "200 <= int(words[1]) < 600",
        "tests/unit/test_hand_health.py::test_an_answer_is_judged_by_what_was_asked",
    ),
    Fault(
        "soak-forgives-a-restart",
        f"{HAND}/health.py",
        "crash = watch.crashed(allowed=0)",
        "crash = watch.crashed(allowed=1)",
        f"{GATE}::test_a_restart_or_a_bad_streak_ends_a_soak",
    ),
    Fault(
        "soak-ends-at-once",
        f"{HAND}/health.py",
        "    while time.monotonic() < end:\n        watch.look()\n",
        "    for _ in range(1):\n        watch.look()\n",
        f"{GATE}::test_a_release_proves_itself_for_all_of_its_seconds",
    ),
    Fault(
        "drain-not-waited-for",
        f"{HAND}/health.py",
        "    while quiet < 3:\n",
        "    while quiet < 0:\n",
        f"{GATE}::test_an_old_generation_is_empty_when_it_stays_so",
    ),
    Fault(
        "drain-looks-once",
        f"{HAND}/health.py",
        "    while quiet < 3:\n",
        "    while quiet < 1:\n",
        f"{GATE}::test_an_old_generation_is_empty_when_it_stays_so",
    ),
    Fault(
        "drain-never-cuts",
        f"{HAND}/health.py",
        "if left and time.monotonic() > end:",
        "if not left and time.monotonic() > end:",
        f"{GATE}::test_a_connection_that_never_ends_is_cut_at_the_deadline",
    ),
    # Who answered.
    Fault(
        "log-believed-at-the-end-of-a-request",
        f"{HAND}/traffic.py",
        "    if answer.first and answer.first == answer.last:\n        return answer.first\n",
        "    if answer.last:\n        return answer.last\n",
        f"{TRAFFIC}::test_a_request_under_way_at_the_switch_is_the_old_ones_if_it_surely_was",
    ),
    Fault(
        "clock-believed-before-the-link",
        f"{HAND}/traffic.py",
        "    if answer.first and answer.first == answer.last:\n        return answer.first\n",
        "",
        f"{TRAFFIC}::test_what_found_one_generation_all_along_was_answered_by_it",
    ),
    Fault(
        "no-doubt-near-the-switch",
        f"{HAND}/traffic.py",
        "answer.passed + SLACK < first",
        "answer.begun < first",
        f"{TRAFFIC}::test_a_request_under_way_at_the_switch_is_the_old_ones_if_it_surely_was",
    ),
    Fault(
        "compared-with-any-older-release",
        f"{HAND}/traffic.py",
        "                if by in (older, -1):\n",
        "                if True:\n",
        f"{TRAFFIC}::test_an_older_generation_than_the_last_is_not_compared_with",
    ),
    Fault(
        "what-came-back-is-measured-with-its-past",
        f"{HAND}/traffic.py",
        "if answer.end + SLACK >= first:",
        "if answer.end:",
        f"{TRAFFIC}::test_a_generation_that_came_back_is_measured_since_it_did",
    ),
    Fault(
        "stale-link-dates-the-switch",
        f"{HAND}/traffic.py",
        " for target, changed in links.values() if _number_of(target) == number]",
        " for _, changed in links.values()]",
        f"{TRAFFIC}::test_a_link_that_another_release_left_says_nothing_of_the_switch",
    ),
    Fault(
        "request-read-for-ours",
        f"{HAND}/accesslog.py",
        "line.rfind(b'\"')",
        "line.find(b'steersman|') - 2",
        "tests/unit/test_hand_accesslog.py::test_lines_of_a_real_nginx_say_who_answered",
    ),
    Fault(
        "clients-name-the-labels",
        f"{HAND}/access.py",
        "answer.route if answer.route in self._names else OTHER",
        "answer.route",
        "tests/unit/test_hand_access.py::test_labels_are_ours_and_few",
    ),
    # What a proxy has read.
    Fault(
        "a-site-is-done-before-nginx-has-read-it",
        f"{HAND}/nginx.py",
        "            files.write_file(path, data, UNREAD)\n",
        "            files.write_file(path, data, READ)\n",
        f"{NGINX}::test_a_site_that_nginx_has_not_read_does_not",
    ),
    Fault(
        "a-site-goes-before-what-it-left",
        f"{HAND}/nginx.py",
        '            files.write_file(path, b"", UNREAD)\n',
        "            files.remove(path)\n",
        f"{NGINX}::test_a_removal_that_is_cut_off_is_begun_again",
    ),
    Fault(
        "what-the-proxy-has-not-read-is-as-planned",
        "controller/steersman/planning/app.py",
        "    elif now.mode != site.mode:\n",
        "    elif False:\n",
        "tests/laws/test_planning.py::test_a_site_that_the_proxy_has_not_read_is_written_again",
    ),
    # What a shutdown ends.
    Fault(
        "a-host-that-goes-down-rejects-a-release",
        f"{HAND}/health.py",
        "        if self._supervisor.is_going_down():\n",
        "        if False:\n",
        f"{GATE}::test_a_host_that_goes_down_says_nothing_of_a_release",
    ),
    # What is removed last.
    Fault(
        "releases-go-before-their-blobs",
        f"{HAND}/garbage.py",
        "    sweep_blobs(place, held)\n    for name in releases:\n"
        '        files.remove(place.app(app, "releases", name))\n',
        "    for name in releases:\n"
        '        files.remove(place.app(app, "releases", name))\n    sweep_blobs(place, held)\n',
        "tests/unit/test_hand_venvs.py::test_a_collection_that_was_cut_off_is_seen_and_begun_again",
    ),
    # What runs once.
    Fault(
        "celery-workers-run-by-celery-alone",
        "controller/steersman/drivers/celery.py",
        "    if not _is_ours(process):\n",
        "    if True:\n",
        "tests/unit/test_drivers.py::test_a_celery_worker_is_run_by_a_file_that_is_there",
    ),
    Fault(
        "term-does-not-wait-for-tasks-that-may-have-begun",
        f"{HAND}/celeryrun.py",
        "            return not any(map(_is_unclear, self._consumer.pool._pool._cache.values()))\n",
        "            return True\n",
        "tests/unit/test_hand_celeryrun.py::test_a_task_that_may_have_begun_is_waited_for",
    ),
    Fault(
        "tasks-begin-while-term-waits",
        f"{HAND}/celeryrun.py",
        "        self._consumer.pool._pool.outbound_buffer.clear()\n",
        "",
        "tests/unit/test_hand_celeryrun.py::test_a_task_that_may_have_begun_is_waited_for",
    ),
    Fault(
        "release-command-begun-again",
        f"{HAND}/phase.py",
        "if not phase.is_begun() or",
        "if True or",
        f"{PHASE}::test_a_killed_controller_does_not_make_it_run_twice",
    ),
    Fault(
        "lost-release-command-always-begun-again",
        f"{HAND}/phase.py",
        'asked["idempotent"] and phase.is_lost()',
        "phase.is_lost()",
        f"{PHASE}::test_one_that_was_lost_is_not_run_again",
    ),
    Fault(
        "release-command-begins-before-its-record",
        f"{HAND}/phase.py",
        "        self._write()\n        try:\n",
        "        try:\n",
        f"{CUT}::test_a_release_command_begins_only_behind_its_record",
    ),
    Fault(
        "job-that-ran-once-runs-again",
        f"{HAND}/jobrun.py",
        "        return SKIP  # whoever asked",
        "        pass  # whoever asked",
        "tests/unit/test_hand_jobrun.py::test_what_ran_once_is_skipped_and_never_forgotten",
    ),
    Fault(
        "overlapping-runs-not-locked",
        f"{HAND}/jobrun.py",
        "        fcntl.flock(fd, fcntl.LOCK_EX)\n",
        "        pass\n",
        "tests/unit/test_hand_jobrun.py::test_a_run_waits_for_one_that_writes_its_record",
    ),
)
