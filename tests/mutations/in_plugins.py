"""Faults in what is shipped elsewhere: secrets in it, source that is missing, probes that miss."""

from __future__ import annotations

from mutations.fault import Fault

TELEMETRY = "controller/steersman/telemetry"
HEARD = "tests/unit/test_telemetry_listening.py"
ERRORS = "tests/unit/test_telemetry_errors.py"
SHIPPING = "tests/unit/test_telemetry_shipping.py"
SENTRY = "tests/unit/test_plugins_sentry.py"

FAULTS = (
    Fault(
        "lines-shipped-unmasked",
        f"{TELEMETRY}/heard.py",
        "self._read(self._masks.text(str(text)), priority)",
        "self._read(str(text), priority)",
        f"{HEARD}::test_a_line_is_a_record_of_its_process_without_secrets",
    ),
    Fault(
        "json-unmasked-once-read",
        f"{TELEMETRY}/heard.py",
        "        return lines.Said(text(said.text), said.level, fields)\n",
        "        return said\n",
        f"{HEARD}::test_what_json_escaped_is_masked_once_it_is_read",
    ),
    Fault(
        "secret-in-a-metrics-name-shown",
        f"{TELEMETRY}/heard.py",
        "self._masks.name(self._masks.text(names))",
        "self._masks.text(names)",
        f"{HEARD}::test_a_metrics_name_that_was_made_of_a_secret_is_masked",
    ),
    Fault(
        "lines-of-a-key-shown",
        "controller/steersman/api/mask.py",
        "    if len(lines) > 1:\n",
        "    if not lines:\n",
        "tests/unit/test_api_mask.py::test_a_line_of_a_value_is_masked_where_lines_come_one_by_one",
    ),
    Fault(
        "errors-shipped-unmasked",
        f"{TELEMETRY}/errors.py",
        "self._hub.publish(masked(report, self._masks))",
        "masked and self._hub.publish(report)",
        f"{ERRORS}::test_no_value_of_a_secret_is_in_an_error",
    ),
    Fault(
        "source-context-dropped",
        "plugins/steersman_plugins/sentry_events.py",
        '"pre_context": list(frame.before)',
        '"pre_context": []',
        f"{SENTRY}::test_an_error_arrives_with_its_source_line",
    ),
    Fault(
        "first-signal-held-back",
        f"{TELEMETRY}/pace.py",
        "(HASTY - 1) * self._every",
        "0",
        "tests/unit/test_telemetry_pace.py::test_the_first_leave_at_once_and_others_in_their_time",
    ),
    Fault(
        "a-flood-holds-back-what-follows",
        f"{TELEMETRY}/pace.py",
        "min(max(self._due, now) + self._every, now + HASTY * self._every)",
        "max(self._due, now) + self._every",
        "tests/unit/test_telemetry_pace.py"
        "::test_a_flood_of_whole_batches_holds_nobody_back_for_longer_than_one",
    ),
    Fault(
        "probe-beside-the-plugin-at-work",
        f"{TELEMETRY}/shipping.py",
        "        if running is None or not running[1].is_open:\n",
        "        if running is None or running[1].is_open:\n",
        f"{SHIPPING}::test_a_probe_goes_by_the_plugin_at_work",
    ),
)
