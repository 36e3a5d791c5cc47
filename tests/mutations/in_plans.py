"""Faults in decisions: the order of a hand-over, strategies, garbage, room and placement."""

from __future__ import annotations

from mutations.fault import Fault

PLANNING = "controller/steersman/planning"
LAWS = "tests/laws/test_planning.py"
STAGES = "tests/unit/test_planning_rollout.py"
FLEET = "tests/laws/test_fleet_rollouts.py"
DISK = "tests/unit/test_disk_room.py"
JOBS = "tests/unit/test_planning_jobs.py"

FAULTS = (
    # What serves.
    Fault(
        "a-proxy-that-is-down-is-left-so",
        f"{PLANNING}/app.py",
        "    elif seen.is_proxy_down:\n",
        "    elif False:\n",
        f"{LAWS}::test_a_proxy_that_does_not_run_is_started_for_what_has_routes",
    ),
    # A power cut between two files.
    Fault(
        "a-boot-of-one-release-with-the-links-of-another",
        f"{PLANNING}/booting.py",
        "    if not units or not",
        "    if units or not",
        f"{LAWS}::test_a_boot_between_any_two_steps_starts_what_traffic_goes_to",
    ),
    # The hand-over.
    Fault(
        "no-gate",
        f"{PLANNING}/app.py",
        "    if target.processes and (stopped or not is_committed(target, seen)):\n"
        "        yield gate_of(target)\n",
        "",
        f"{LAWS}::test_any_start_and_any_crash_reach_the_goal",
    ),
    Fault(
        "switch-before-gate",
        f"{PLANNING}/app.py",
        "    steps += _start(target, seen)\n    steps += _hand_over(target, seen)\n",
        "    steps += _hand_over(target, seen)\n    steps += _start(target, seen)\n",
        f"{LAWS}::test_the_old_generation_serves_until_the_new_one_passed_its_gate",
    ),
    Fault(
        "stop-before-switch",
        f"{PLANNING}/app.py",
        "    steps += _hand_over(target, seen)\n    steps += plan_retire(target, seen)\n",
        "    steps += plan_retire(target, seen)\n    steps += _hand_over(target, seen)\n",
        f"{LAWS}::test_any_start_and_any_crash_reach_the_goal",
    ),
    Fault(
        "min-ready-seconds-ignored",
        f"{PLANNING}/app.py",
        "target.min_ready > 0",
        "target.min_ready < 0",
        f"{LAWS}::test_a_soak_comes_between_the_switch_and_the_commit",
    ),
    Fault(
        "commit-before-soak",
        f"{PLANNING}/app.py",
        "    committed = is_committed(target, seen)\n",
        "    committed = is_committed(target, seen)\n"
        '    yield Commit("", target.current, f"releases/{target.release}")\n',
        f"{LAWS}::test_a_soak_comes_between_the_switch_and_the_commit",
    ),
    Fault(
        "no-drain",
        f"{PLANNING}/retiring.py",
        "    if sockets:\n",
        "    if not sockets:\n",
        f"{LAWS}::test_only_generations_that_had_traffic_are_drained",
    ),
    Fault(
        "units-not-read-after-a-crash",
        f"{PLANNING}/app.py",
        "    elif is_starting and any(unit in seen.units for unit in _stopped(target, seen)):\n",
        "    elif False:\n",
        f"{LAWS}::test_units_that_the_supervisor_knows_are_read_again_before_they_start",
    ),
    Fault(
        "changed-units-not-read",
        f"{PLANNING}/app.py",
        "    if units and any(unit in seen.units for unit in target.units):\n",
        "    if False:\n",
        f"{LAWS}::test_units_that_run_by_other_files_are_read_again",
    ),
    Fault(
        "progress-deadline-ignored",
        "controller/steersman/control/target.py",
        "deadline=float(app.spec.rollout.progress_deadline_seconds)",
        "deadline=600.0",
        f"{LAWS}::test_a_gate_waits_as_long_as_the_manifest_says",
    ),
    # Strategies.
    Fault(
        "surge-rounded-down",
        f"{PLANNING}/rollout.py",
        "amount_of(rollout.max_surge, total, round_up=True)",
        "amount_of(rollout.max_surge, total, round_up=False)",
        f"{STAGES}::test_a_wave_is_as_large_as_kubernetes_would_round",
    ),
    Fault(
        "unavailable-rounded-up",
        f"{PLANNING}/rollout.py",
        "amount_of(rollout.max_unavailable, total, round_up=False)",
        "amount_of(rollout.max_unavailable, total, round_up=True)",
        f"{STAGES}::test_a_wave_is_as_large_as_kubernetes_would_round",
    ),
    Fault(
        "surge-counts-what-stops-first",
        f"{PLANNING}/rollout.py",
        "unavailable if has_stops else surge + unavailable",
        "surge + unavailable",
        f"{STAGES}::test_hosts_that_stop_first_are_bounded_by_unavailability_alone",
    ),
    Fault(
        "nobody-proves-a-release",
        f"{PLANNING}/rollout.py",
        "    first = (*there, *_names(moving[:1]))\n",
        "    first = (*there, *_names(moving[:2]))\n",
        f"{STAGES}::test_no_wave_of_a_rolling_update_is_too_large",
    ),
    Fault(
        "canary-not-judged",
        f"{PLANNING}/rollout.py",
        "                made.append(Judge(names[:reached], names[reached:]))\n",
        "",
        f"{STAGES}::test_a_canary_moves_by_its_steps_and_is_judged_after_each",
    ),
    Fault(
        "canary-does-not-pause",
        f"{PLANNING}/rollout.py",
        "            made.append(Wait(pauses, step.pause.duration, at, len(steps), judge))\n",
        "            pass\n",
        f"{FLEET}::test_each_promotion_passes_one_pause",
    ),
    Fault(
        "blue-green-without-a-barrier",
        f"{PLANNING}/rollout.py",
        "        return (Boot(names), Move(names))\n",
        "        return (Move(names),)\n",
        f"{FLEET}::test_nothing_switches_before_all_have_booted",
    ),
    Fault(
        "recreate-does-not-stop",
        f"{PLANNING}/rollout.py",
        "        return (Stop(old), Move(_names(ordered)))\n",
        "        return (Move(_names(ordered)),)\n",
        f"{FLEET}::test_recreate_stops_the_old_everywhere_before_it_starts_anything",
    ),
    # Garbage and room.
    Fault(
        "garbage-takes-the-running-release",
        f"{PLANNING}/garbage.py",
        'target.keep | {target.release}, "past',
        'target.keep, "past',
        f"{LAWS}::test_any_start_and_any_crash_reach_the_goal",
    ),
    Fault(
        "room-is-made-of-what-runs",
        f"{PLANNING}/garbage.py",
        "    keep = target.keep | {target.release} | links | running\n",
        "    keep = target.keep | {target.release} | links\n",
        f"{DISK}::test_a_release_that_still_drains_does_not_go",
    ),
    Fault(
        "room-is-made-of-what-serves",
        f"{PLANNING}/garbage.py",
        "    keep = target.keep | {target.release} | links | running\n",
        "    keep = target.keep | {target.release} | running\n",
        f"{DISK}::test_a_release_that_only_boots_or_only_serves_does_not_go",
    ),
    Fault(
        "garbage-takes-the-release-of-a-job",
        f"{PLANNING}/garbage.py",
        "    keep |= pinned_releases(target.name, seen)\n",
        "",
        f"{JOBS}::test_a_deploy_collects_no_release_that_a_run_keeps",
    ),
    Fault(
        "keep-free-ignored",
        f"{PLANNING}/disk.py",
        "    if room.free - need.size < kept:\n",
        "    if room.free - need.size < 0:\n",
        f"{DISK}::test_what_fits_and_what_is_said_if_not",
    ),
    Fault(
        "inodes-ignored",
        f"{PLANNING}/disk.py",
        "room.inodes - need.files < INODES_KEPT",
        "room.inodes < 0",
        f"{DISK}::test_what_fits_and_what_is_said_if_not",
    ),
    # Jobs.
    Fault(
        "job-doubled",
        f"{PLANNING}/jobs.py",
        "any(run.instance == job.once for run in runs)",
        "False",
        f"{JOBS}::test_a_job_without_a_schedule_runs_once_for_each_generation",
    ),
    Fault(
        "forbidden-job-overlaps",
        f"{PLANNING}/jobs.py",
        "        return  # whoever waits",
        "        pass  # whoever waits",
        f"{JOBS}::test_a_new_run_minds_the_one_under_way",
    ),
    # Placement.
    Fault(
        "hosts-shrink-before-others-gain",
        f"{PLANNING}/placement.py",
        "else max(count, held.get(name, {}).get(process, 0))",
        "else count",
        "tests/unit/test_placement.py::test_while_replicas_move_nobody_has_less_than_before",
    ),
    Fault(
        "cordoned-hosts-gain",
        f"{PLANNING}/placement.py",
        "min(most, even[name])",
        "even[name]",
        "tests/unit/test_placement.py::test_a_cordoned_host_never_gains",
    ),
)
