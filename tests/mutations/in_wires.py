"""Faults in what goes over wires: links to hosts; StatsD, Graphite, Prometheus and Munin."""

from __future__ import annotations

from mutations.fault import Fault

PLUGINS = "plugins/steersman_plugins"
STATSD = "tests/unit/test_plugins_statsd.py"
GRAPHITE = "tests/unit/test_plugins_graphite.py"
PROMETHEUS = "tests/unit/test_plugins_prometheus.py"
MUNIN = "tests/unit/test_plugins_munin.py"

FAULTS = (
    Fault(
        "a-poison-costs-its-batch",
        "controller/steersman/telemetry/shipper.py",
        "        if half and not is_final and self._halvings < HALVINGS:\n",
        "        if False:\n",
        "tests/unit/test_telemetry_shipper.py::test_only_what_a_plugin_stumbles_over_is_dropped",
    ),
    Fault(
        "a-broken-plugin-halved-for-ever",
        "controller/steersman/telemetry/shipper.py",
        "            self._halvings += 1\n",
        "",
        "tests/unit/test_telemetry_shipper.py"
        "::test_a_plugin_that_ships_nothing_is_not_started_for_each_signal",
    ),
    Fault(
        "negative-gauge-taken-for-a-step",
        f"{PLUGINS}/statsd.py",
        "if sample.value < 0 else line",
        "if sample.value < -1e9 else line",
        f"{STATSD}::test_a_negative_gauge_goes_by_way_of_zero_in_one_datagram",
    ),
    Fault(
        "growth-that-did-not-arrive-kept",
        f"{PLUGINS}/statsd.py",
        "            if sent and self._endpoint.path:\n",
        "            if sent:\n",
        f"{STATSD}::test_a_server_that_is_not_there_is_told_and_growth_kept",
    ),
    Fault(
        "refused-datagrams-not-noticed",
        f"{PLUGINS}/statsd.py",
        "                    sent += 1\n            _raise_pending(opened)\n",
        "                    sent += 1\n",
        f"{STATSD}::test_a_server_that_is_not_there_is_told_and_growth_kept",
    ),
    Fault(
        "restarted-counter-shrinks",
        f"{PLUGINS}/series.py",
        "if value >= before else value\n",
        "if value >= before else 0.0\n",
        f"{STATSD}::test_a_counter_that_began_again_grew_from_zero",
    ),
    Fault(
        "datagram-longer-than-a-frame",
        f"{PLUGINS}/packing.py",
        "size + 1 + len(line) > limit",
        "size > limit",
        f"{STATSD}::test_datagrams_fit_into_a_frame",
    ),
    Fault(
        "semicolons-in-tags",
        f"{PLUGINS}/graphite.py",
        '_NOT_IN_VALUE = re.compile(r"[^\\w.:/+@-]", re.ASCII)',
        '_NOT_IN_VALUE = re.compile(r"[^\\w.:;/+@-]", re.ASCII)',
        f"{GRAPHITE}::test_no_hostile_sample_makes_another_line",
    ),
    Fault(
        "lost-carbon-written-to",
        f"{PLUGINS}/graphite.py",
        "if self._link is not None and self._link.lost.is_set():",
        "if False:",
        f"{GRAPHITE}::test_a_connection_that_was_closed_is_opened_again",
    ),
    Fault(
        "families-of-one-name",
        f"{PLUGINS}/exposition.py",
        "if base not in made and not taken.isdisjoint(_names(base, kind)):",
        "if False:",
        f"{PROMETHEUS}::test_whatever_apps_say_is_read_back_by_both_parsers",
    ),
    Fault(
        "any-token-will-do",
        f"{PLUGINS}/prometheus.py",
        'return scheme.lower() == "bearer" and',
        'return scheme.lower() == "bearer" or',
        f"{PROMETHEUS}::test_who_lacks_the_token_reads_nothing",
    ),
    Fault(
        "textfile-written-in-place",
        f"{PLUGINS}/prometheus.py",
        "        os.replace(draft, path)\n",
        '        open(path, "wb").write(plain_text(rows))\n        os.unlink(draft)\n',
        f"{PROMETHEUS}::test_a_textfile_is_replaced_whole",
    ),
    Fault(
        "board-without-a-bound",
        f"{PLUGINS}/series.py",
        "                self.refused += 1\n                return\n",
        "                self.refused += 1\n",
        f"{PROMETHEUS}::test_the_board_lets_go_and_takes_no_more_than_its_bound",
    ),
    Fault(
        "door-open-to-all",
        f"{PLUGINS}/door.py",
        "return any(address in network for network in self._allow)",
        "return True",
        f"{MUNIN}::test_who_is_not_on_the_list_is_shown_out",
    ),
    Fault(
        "munin-counter-told-as-it-stands",
        f"{PLUGINS}/munin_graphs.py",
        "board.value(key) + grown",
        "sample.value",
        f"{MUNIN}::test_a_counter_is_drawn_by_what_it_grew_over_all_instances",
    ),
    Fault(
        "filler-sent-ahead-of-each-packet",
        "controller/steersman/transport/ssh/connection.py",
        "    _send_no_fillers(ssh)\n",
        "",
        "tests/unit/test_transport_link.py::test_a_call_is_one_packet",
    ),
    Fault(
        "kept-alive-twice",
        "controller/steersman/transport/link.py",
        "        link._connection.send_no_keepalives()\n",
        "",
        "tests/unit/test_transport_link.py"
        "::test_a_link_whose_hand_answers_is_kept_alive_by_our_pings_alone",
    ),
    Fault(
        "links-tick-each-on-its-own",
        "controller/steersman/transport/pulse.py",
        "        return together if together > soon - self._timing.ping / 2 else soon\n",
        "        return soon\n",
        "tests/unit/test_transport_link.py::test_many_links_tick_at_once",
    ),
)
