"""Faults in what runs on hosts: durability, the fence, gates, release commands and jobs."""

from __future__ import annotations

from mutations.fault import Fault

HAND = "controller/steersman/hand"
CUT = "tests/laws/test_powercut.py"
GATE = "tests/unit/test_hand_gate.py"
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
    # What runs once.
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
