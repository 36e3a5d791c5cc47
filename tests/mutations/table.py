"""All planted faults."""

from __future__ import annotations

from mutations import (
    in_builds,
    in_control,
    in_plans,
    in_plugins,
    in_samples,
    in_store,
    in_wires,
    on_hosts,
)

FAULTS = (
    *on_hosts.FAULTS,
    *in_builds.FAULTS,
    *in_plans.FAULTS,
    *in_control.FAULTS,
    *in_store.FAULTS,
    *in_wires.FAULTS,
    *in_plugins.FAULTS,
    *in_samples.FAULTS,
)
