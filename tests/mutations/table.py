"""All planted faults."""

from __future__ import annotations

from mutations import in_control, in_plans, on_hosts

FAULTS = (*on_hosts.FAULTS, *in_plans.FAULTS, *in_control.FAULTS)
