"""Faults in builds: whose wheels are whose, and what keeps programs of strangers in."""

from __future__ import annotations

from mutations.fault import Fault

BUILDS = "controller/steersman/builds"
ORIGINS = "tests/unit/test_builds_origins.py"

FAULTS = (
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
)
