"""Faults in builds: whose wheels are whose, and what keeps programs of strangers in."""

from __future__ import annotations

from mutations.fault import Fault

BUILDS = "controller/steersman/builds"
ORIGINS = "tests/unit/test_builds_origins.py"
FOLLOWED = "tests/unit/test_repositories.py"
UNWALLED = "tests/unit/test_builds_unwalled.py"

FAULTS = (
    Fault(
        "refs-without-end",
        "controller/steersman/builds/git.py",
        "        done = await self._git.run(words, most=MOST_SAID)\n",
        "        done = await self._git.run(words)\n",
        "tests/unit/test_builds_git.py::test_a_server_that_names_refs_without_end_is_cut_off",
    ),
    Fault(
        "too-large-sent-at-each-look",
        "controller/steersman/control/repositories.py",
        "        if is_known and is_same and not is_asked:\n",
        "        if not is_known and is_same and not is_asked:\n",
        "tests/unit/test_repositories.py"
        "::test_a_repository_that_sends_too_much_is_refused_and_nothing_stays",
    ),
    Fault(
        "wheel-of-any-index",
        f"{BUILDS}/wheels.py",
        'digest_of([*what, "origins", *origins])',
        'digest_of([*what, "origins"])',
        f"{ORIGINS}::test_each_index_has_its_own_wheel_of_one_name_and_version",
    ),
    Fault(
        "built-wheel-taken-for-hashed",
        f"{BUILDS}/wheels.py",
        'if f"sha256:{wheel.sha256}" in wanted.hashes else here',
        "if wanted.hashes else here",
        f"{ORIGINS}::test_what_one_index_built_a_package_with_stays_with_its_apps",
    ),
    Fault(
        "resolved-for-another-folder",
        f"{BUILDS}/locks.py",
        "or has_local(question.origins)",
        "or False",
        f"{ORIGINS}::test_resolving_a_folder_of_a_source_says_nothing_of_another_ones",
    ),
    Fault(
        "walls-required-in-vain",
        f"{BUILDS}/cells.py",
        "                raise WallsMissing(missing)\n",
        "                pass\n",
        f"{UNWALLED}::test_required_walls_refuse_the_step_and_leave_nothing",
    ),
    Fault(
        "build-without-walls-given-out",
        f"{BUILDS}/builder.py",
        'is_fit = build.unwalled is None or self.walls.policy == "preferred"',
        "is_fit = True",
        f"{UNWALLED}::test_a_build_says_that_it_had_no_walls_and_is_not_what_required_asks_for",
    ),
    Fault(
        "walls-preferred-by-a-root",
        "controller/steersman/server/config.py",
        'return "required" if is_root or self.git is not None else "preferred"',
        'return "preferred"',
        "tests/unit/test_serve_config.py::test_walls_are_required_of_root_and_where_others_push",
    ),
    # Repositories.
    Fault(
        "only-the-head-is-signed",
        "controller/steersman/control/repositories.py",
        'if verify.mode == "All" else None',
        "if False else None",
        f"{FOLLOWED}::test_with_mode_all_every_new_commit_has_a_believed_signature",
    ),
    Fault(
        "history-may-be-cut",
        f"{BUILDS}/githistory.py",
        "    if cut:\n",
        "    if False:\n",
        f"{FOLLOWED}::test_a_history_that_is_not_whole_is_believed_by_nobody",
    ),
    Fault(
        "commits-replaced",
        f"{BUILDS}/gitcli.py",
        '    "core.useReplaceRefs": "false",\n',
        "",
        f"{FOLLOWED}::test_a_commit_is_not_read_as_the_one_that_a_ref_puts_in_its_place",
    ),
    Fault(
        "fetches-without-end",
        f"{BUILDS}/git.py",
        "largest=most",
        "largest=None",
        f"{FOLLOWED}::test_a_repository_that_sends_too_much_is_refused_and_nothing_stays",
    ),
)
