"""Faults in what carries decisions out: walks, pauses, leases, ways back, secrets and units."""

from __future__ import annotations

from mutations.fault import Fault

CONTROL = "controller/steersman/control"
DRIVERS = "controller/steersman/drivers"
FLEET = "tests/laws/test_fleet_rollouts.py"
PAUSES = "tests/unit/test_control_pauses.py"
TURNS = "tests/unit/test_control_turns.py"
LEASES = "tests/unit/test_store_leases.py"
STORES = "tests/laws/test_store.py"
PHASE = "tests/laws/test_release_phase.py"
HOLDING = "tests/unit/test_control_holding.py"
MOVING = "tests/unit/test_control_moving.py"
UNITS = "tests/unit/test_drivers.py"

FAULTS = (
    # What has drifted.
    Fault(
        "a-host-that-is-well-speaks-for-all",
        f"{CONTROL}/keeping.py",
        "            self._wake(app.key)\n            return\n",
        "            await self._report(app, {host: ()})\n            return\n",
        "tests/unit/test_control_keeping.py::test_a_host_that_is_well_does_not_speak_for_another",
    ),
    # No more keys are begun at once than get on.
    Fault(
        "a-crowd-begun-at-once",
        f"{CONTROL}/underway.py",
        "        while len(self._begun) >= MOST:\n",
        "        while len(self._begun) < 0:\n",
        "tests/unit/test_control_keeper.py"
        "::test_a_crowd_is_not_under_way_at_once_and_no_slow_one_holds_it_up",
    ),
    Fault(
        "computing-taken-for-waiting",
        f"{CONTROL}/underway.py",
        "                if self._computed() - computed < IDLE * QUIET:\n",
        "                if computed >= 0:\n",
        "tests/unit/test_control_underway.py::test_who_compute_are_not_taken_for_waiting",
    ),
    Fault(
        "the-slow-counted-for-ever",
        f"{CONTROL}/underway.py",
        "            self._forget_slow()\n",
        "",
        "tests/unit/test_control_underway.py"
        "::test_some_who_wait_do_not_slow_the_others_down_for_ever",
    ),
    # Hosts are claimed, and looked at again.
    Fault(
        "not-looked-at-again-after-a-claim",
        f"{CONTROL}/converge.py",
        "                await host.claim(app)\n                continue\n",
        "                await host.claim(app)\n",
        f"{FLEET}::test_what_was_seen_before_a_claim_is_looked_at_again",
    ),
    Fault(
        "healed-for-being-labelled",
        f"{CONTROL}/following.py",
        "asked = before is None or before.wanted != wish.wanted",
        "asked = True",
        "tests/unit/test_control_following.py"
        "::test_a_mark_has_an_app_looked_at_and_asks_for_nothing",
    ),
    Fault(
        "everything-read-again-by-each-who-waited",
        f"{CONTROL}/views.py",
        "await self._update(await self._store.revision())",
        "await self._update(0)",
        "tests/unit/test_control_views.py"
        "::test_many_who_ask_while_much_changes_read_everything_once",
    ),
    Fault(
        "lease-not-renewed",
        f"{CONTROL}/turns.py",
        "                    await store.renew_lease(lease, HOLDING)\n",
        "",
        f"{TURNS}::test_a_turn_that_takes_long_is_renewed_well_before_it_would_end",
    ),
    Fault(
        "lease-renewed-too-late",
        f"{CONTROL}/turns.py",
        "HOLDING, RENEWAL = 60.0, 15.0",
        "HOLDING, RENEWAL = 60.0, 45.0",
        f"{TURNS}::test_a_turn_that_takes_long_is_renewed_well_before_it_would_end",
    ),
    Fault(
        "lost-lease-ignored",
        f"{CONTROL}/turns.py",
        "                    body.cancel()\n",
        "                    pass\n",
        f"{TURNS}::test_whoever_loses_its_turn_stops",
    ),
    Fault(
        "lease-never-expires",
        "controller/steersman/store/leases.py",
        "if alive and float(str(expires)) > _now() else None",
        "if alive else None",
        f"{STORES}::TestSqlite::test_a_late_holder_is_replaced_and_told",
    ),
    Fault(
        "dead-holder-waited-for",
        "controller/steersman/store/leases.py",
        "alive = boot == me.boot and started(pid) == process",
        "alive = True",
        f"{LEASES}::test_a_killed_holder_is_replaced_at_once",
    ),
    Fault(
        "lease-of-another-given-back",
        "controller/steersman/store/leases.py",
        '"DELETE FROM leases WHERE name = ? AND token = ?", lease.name, lease.token',
        '"DELETE FROM leases WHERE name = ?", lease.name',
        f"{STORES}::TestSqlite::test_a_late_holder_is_replaced_and_told",
    ),
    # Pauses.
    Fault(
        "timed-pause-not-waited-for",
        f"{CONTROL}/pauses.py",
        "end = loop.time() + await self._left(stage, stage.seconds)",
        "end = loop.time()",
        f"{PAUSES}::test_a_timed_pause_lasts_its_time_and_is_judged_meanwhile",
    ),
    Fault(
        "timed-pause-not-judged",
        f"{CONTROL}/pauses.py",
        "                if not await judged():\n                    return None\n",
        "",
        f"{PAUSES}::test_a_canary_that_does_badly_ends_its_pause",
    ),
    Fault(
        "passed-pause-forgotten",
        f"{CONTROL}/pauses.py",
        "            await self._memory.annotate(name, over)\n",
        "            pass\n",
        f"{PAUSES}::test_a_pause_that_was_waited_for_is_over_for_every_later_controller",
    ),
    Fault(
        "begun-pause-forgotten",
        f"{CONTROL}/pauses.py",
        "        if ends is not None:\n",
        "        if False:\n",
        f"{PAUSES}::test_a_controller_that_dies_in_a_pause_leaves_the_rest_to_the_next",
    ),
    Fault(
        "promotion-not-waited-for",
        f"{CONTROL}/pauses.py",
        '            return f"{place}; {promote}"\n',
        "            return None\n",
        f"{PAUSES}::test_a_pause_without_a_time_halts_until_somebody_promotes",
    ),
    Fault(
        "promotion-ends-two-pauses",
        f"{CONTROL}/pauses.py",
        "passed_pauses(app, self._release.spec.number) >= stage.number",
        "passed_pauses(app, self._release.spec.number) + 1 >= stage.number",
        f"{PAUSES}::test_a_pause_without_a_time_halts_until_somebody_promotes",
    ),
    Fault(
        "promotion-counts-two",
        f"{CONTROL}/steering.py",
        "passed_pauses(app, number) + 1",
        "passed_pauses(app, number) + 2",
        f"{FLEET}::test_each_promotion_passes_one_pause",
    ),
    Fault(
        "promotion-of-another-release-counts",
        f"{CONTROL}/wishes.py",
        "return int(count) if release == str(number) and count.isdigit() else 0",
        "return int(count) if count.isdigit() else 0",
        f"{PAUSES}::test_the_promotion_of_another_release_counts_for_nothing",
    ),
    Fault(
        "paused-app-goes-on",
        f"{CONTROL}/walk.py",
        "                if moving and await self._is_held():\n                    break\n",
        "",
        f"{FLEET}::test_a_paused_app_goes_no_further",
    ),
    # Failures and ways back.
    Fault(
        "one-failure-too-few",
        f"{CONTROL}/walk.py",
        "if walked.faults > rollout.max_failures:",
        "if walked.faults >= rollout.max_failures:",
        f"{FLEET}::test_as_many_hosts_may_fail_as_the_manifest_says",
    ),
    Fault(
        "one-failure-too-many",
        f"{CONTROL}/walk.py",
        "if walked.faults > rollout.max_failures:",
        "if walked.faults > rollout.max_failures + 1:",
        f"{FLEET}::test_as_many_hosts_may_fail_as_the_manifest_says",
    ),
    Fault(
        "bad-host-stays-bad",
        f"{CONTROL}/walk.py",
        "        await self._back(self._trip.links[outcome.host])\n",
        "",
        f"{FLEET}::test_as_many_hosts_may_fail_as_the_manifest_says",
    ),
    Fault(
        "way-back-stops-first",
        f"{CONTROL}/deploying.py",
        "        if choice.app.spec.rollout.auto_rollback:\n",
        "        if choice.app.spec.rollout.auto_rollback:\n"
        "            for link in choice.links if choice.previous else []:\n"
        "                back = await self.wanted(choice, choice.previous)\n"
        "                await self._mover.stop(link, back[link.name])\n",
        f"{FLEET}::test_the_way_back_starts_the_old_before_it_stops_anything",
    ),
    Fault(
        "auto-rollback-ignored",
        f"{CONTROL}/deploying.py",
        "        if choice.app.spec.rollout.auto_rollback:\n",
        "        if True:\n",
        f"{FLEET}::test_without_auto_rollback_hosts_that_moved_stay",
    ),
    Fault(
        "rejected-release-tried-again",
        f"{CONTROL}/deploying.py",
        '        if state == "rejected":\n',
        '        if state == "never":\n',
        f"{FLEET}::test_a_rejected_release_is_not_tried_again",
    ),
    Fault(
        "release-command-forgotten",
        f"{CONTROL}/phase.py",
        "    if command is None or is_true(release.status.conditions, COMMAND_DONE):\n",
        "    if command is None:\n",
        "tests/unit/test_control_phase.py",
    ),
    Fault(
        "contract-ignored",
        f"{CONTROL}/release.py",
        "        and r.spec.template.release.contract\n",
        "        and not r.spec.template.release.contract\n",
        "tests/unit/test_contract.py::test_a_contract_that_ran_bars_what_was_before",
    ),
    Fault(
        "undo-over-a-contract",
        f"{CONTROL}/steering.py",
        "        if contract is not None and not is_forced:\n",
        "        if contract is not None and is_forced:\n",
        f"{PHASE}::test_nobody_goes_back_past_a_contract_unless_forced",
    ),
    Fault(
        "bad-releases-count",
        f"{CONTROL}/release.py",
        "others = [r for r in releases if r.status.state in KEPT_STATES and",
        "others = [r for r in releases if",
        f"{FLEET}::test_only_good_releases_count_and_the_last_good_one_stays",
    ),
    Fault(
        "last-good-one-goes",
        f"{CONTROL}/release.py",
        "r in others[-history:] or",
        "r in others[:history] or",
        f"{FLEET}::test_only_good_releases_count_and_the_last_good_one_stays",
    ),
    # Hosts come and go.
    Fault(
        "drain-evicts-before-gain",
        f"{CONTROL}/rollout.py",
        "        if deployed.is_there and not errors.keys() & gaining(app, places):\n",
        "        if True:\n",
        f"{MOVING}::test_nobody_gives_up_anything_for_a_host_that_did_not_gain",
    ),
    Fault(
        "shares-shrink-at-once",
        f"{CONTROL}/rollout.py",
        "self._deploying.deploy(replace(choice, shares=moving.shares))",
        "self._deploying.deploy(choice)",
        f"{MOVING}::test_a_host_that_comes_is_filled_before_others_are_emptied",
    ),
    # Secrets.
    Fault(
        "secret-in-a-unit",
        f"{DRIVERS}/systemd.py",
        '            *(("Environment", environment(*pair)) for pair in env.items()),\n'
        '            *(("EnvironmentFile"',
        '            *(("Environment", environment(*pair)) for pair in env.items()),\n'
        '            ("Environment", environment("TOKEN", "shown")),\n'
        '            *(("EnvironmentFile"',
        f"{UNITS}::test_unit_files_are_as_reviewed",
    ),
    Fault(
        "secret-in-the-record",
        f"{CONTROL}/target.py",
        '        "content": spec.content,\n',
        '        "content": spec.content,\n        "secrets": wanted.secrets,\n',
        "tests/laws/test_planning.py::test_no_step_but_the_env_files_holds_a_secret",
    ),
    Fault(
        "secret-readable-by-all",
        f"{CONTROL}/target.py",
        "env_file(sorted(shared.items())), 0o600, owner",
        "env_file(sorted(shared.items())), 0o644, owner",
        "tests/laws/test_planning.py::test_any_start_and_any_crash_reach_the_goal",
    ),
    Fault(
        "secret-in-argv",
        "controller/steersman/planning/steps.py",
        '        return f"write {self.path}"\n',
        '        return f"write {self.path} {self.data!r}"\n',
        "tests/laws/test_planning.py::test_no_step_but_the_env_files_holds_a_secret",
    ),
    Fault(
        "mask-off",
        "controller/steersman/api/mask.py",
        '        masked = re.sub("|".join(map(re.escape, forms)), mask, text)\n',
        "        masked = text\n",
        "tests/unit/test_api_mask.py::test_a_value_is_masked_in_every_form",
    ),
    Fault(
        "secret-in-an-event",
        f"{CONTROL}/hosts.py",
        "            raise error.through(self.masks) from None\n",
        "            raise error from None\n",
        "tests/unit/test_control_masks.py",
    ),
    Fault(
        "logs-of-a-canary-not-masked",
        f"{CONTROL}/judge.py",
        'said = [link.masks.text(str(line)) for line in reply.header["lines"]]',
        'said = [str(line) for line in reply.header["lines"]]',
        "tests/unit/test_control_judge_masks.py",
    ),
    # Units and judgements.
    Fault(
        "term-to-every-process",
        f"{DRIVERS}/systemd.py",
        'yield "KillMode", "mixed"',
        'yield "KillMode", "control-group"',
        f"{UNITS}::test_unit_files_are_as_reviewed",
    ),
    Fault(
        "canary-errors-ignored",
        f"{CONTROL}/judge.py",
        "each.rate > usual + settings.error_share",
        "each.rate > 1",
        "tests/unit/test_control_judge.py",
    ),
    Fault(
        "store-may-forget",
        "controller/steersman/store/database.py",
        "synchronous = FULL",
        "synchronous = NORMAL",
        "tests/unit/test_store_file.py::test_the_settings_that_durability_stands_on",
    ),
    # Pushes.
    Fault(
        "pusher-told-nothing-for-long",
        "controller/steersman/server/git/progress.py",
        "            if remote.silence >= quiet:\n",
        "            if False:\n",
        "tests/unit/test_git_push.py::test_who_pushes_is_reminded_of_what_is_waited_for",
    ),
    # Sources that are folders.
    Fault(
        "half-a-save-deployed",
        "controller/steersman/builds/settled.py",
        "        if now == before and open_ is None:\n",
        "        if True:\n",
        "tests/unit/test_server_sources.py::test_half_of_a_save_is_no_source",
    ),
    Fault(
        "save-while-nobody-watched-missed",
        "controller/steersman/server/sources.py",
        "            if now != before:\n",
        "            if before is not None and now != before:\n",
        "tests/unit/test_server_sources.py::test_a_folder_that_comes_later_is_watched_then",
    ),
    # Deletes.
    Fault(
        "job-changed-meanwhile-deleted",
        f"{CONTROL}/jobs.py",
        "            await still()\n",
        "",
        "tests/unit/test_server_objects.py::test_a_job_is_compared_again_in_its_apps_turn",
    ),
    Fault(
        "drain-writes-over-others",
        f"{CONTROL}/cordon.py",
        'self._memory.set_cordon(host, "drained", version)',
        'self._memory.set_cordon(host, "drained")',
        "tests/unit/test_server_objects.py"
        "::test_what_others_change_while_a_host_is_drained_is_not_written_over",
    ),
    # Drift in a pause.
    Fault(
        "drift-in-a-pause-left",
        f"{CONTROL}/holding.py",
        "        healed = await self._mover.move(link, wanted)\n",
        "        healed = await self._dry.move(link, wanted)\n",
        f"{HOLDING}::test_what_a_canary_has_not_come_to_is_healed_and_the_canary_is_not",
    ),
    Fault(
        "canary-taken-back-as-drift",
        f"{CONTROL}/holding.py",
        "        if not boots_into(seen, wanted) or not",
        "        if not",
        f"{HOLDING}::test_a_host_with_another_release_is_left_until_its_turn",
    ),
    Fault(
        "healed-in-a-pause-against-orders",
        f"{CONTROL}/holding.py",
        "        if not links or not is_healed(self._app):\n",
        "        if not links:\n",
        f"{HOLDING}::test_an_app_that_is_not_to_be_healed_is_left",
    ),
)
