"""The Munin node: answers in the protocol's words, whatever apps and masters say."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.api.signals import Sample
from steersman_plugins.munin import Munin, Talk
from steersman_plugins.munin_graphs import GRAPHS, Sheets, field
from transport_lab import free_port

_WORDS = st.text(max_size=30) | st.sampled_from(["a b", "a\nquit", ".", "root", "#x", "\udc80", ""])
HOSTILE = st.builds(
    Sample,
    time=st.just(1.0),
    name=st.sampled_from([graph.sample for graph in GRAPHS if graph.sample]) | _WORDS,
    value=st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from([1e308, -1e308]),
    labels=st.dictionaries(
        st.sampled_from(["app", "host", "process", "code", "quantile", "level", "state"]), _WORDS
    ),
    kind=st.sampled_from(["gauge", "counter"]),
)
_FORM = re.compile(
    r"multigraph [a-z_]+(\.[A-Za-z0-9_]+)?|host_name \S+|graph_[a-z]+ [^\n]+"
    r"|[A-Za-z_][A-Za-z0-9_]*\.(label \S+|type (GAUGE|DERIVE)|min 0|cdef \S+|value -?[0-9.]+)"
)


def cpu(value: float, app: str = "shop", process: str = "web", instance: str = "1") -> Sample:
    labels = {"app": app, "process": process, "instance": instance, "host": "h1"}
    name = "steersman_process_cpu_seconds_total"
    return Sample(time=1.0, name=name, value=value, labels=labels, kind="counter")


def load(value: float, host: str = "h1") -> Sample:
    return Sample(time=1.0, name="steersman_host_load1", value=value, labels={"host": host})


def talk_of(*samples: Sample) -> Talk:
    sheets = Sheets(600)
    for one in samples:
        sheets.take(one, 0.0)
    return Talk("steersman", sheets)


@given(st.lists(HOSTILE, max_size=8))
def test_no_hostile_sample_makes_another_line(samples: list[Sample]) -> None:
    talk = talk_of(*samples)
    talk.answer(["cap", "multigraph", "dirtyconfig"], 0.0)
    nodes = talk.answer(["nodes"], 0.0).splitlines()
    assert nodes[-1] == "."
    for node in nodes[:-1]:
        listed = talk.answer(["list", node], 0.0)
        assert listed.count("\n") == 1
        for service in listed.split():
            *lines, end = talk.answer(["config", service], 0.0).split("\n")[:-1]
            assert end == "."
            for line in lines:
                assert _FORM.fullmatch(line), line


def test_a_counter_is_drawn_by_what_it_grew_over_all_instances() -> None:
    talk = talk_of(cpu(5), cpu(7, instance="2"), cpu(6.5), cpu(8, instance="2"), cpu(0.25))
    talk.answer(["cap", "multigraph"], 0.0)
    assert talk.answer(["fetch", "app_cpu"], 0.0) == (
        "multigraph app_cpu\nshop.value 2750\nmultigraph app_cpu.shop\nweb.value 2750\n.\n"
    )


def test_a_config_says_how_to_draw_and_with_dirtyconfig_also_what() -> None:
    talk = talk_of(cpu(5))
    talk.answer(["cap", "multigraph", "dirtyconfig"], 0.0)
    answer = talk.answer(["config", "app_cpu"], 0.0)
    part = (
        "graph_vlabel % of a core\ngraph_category steersman\ngraph_args --lower-limit 0\n"
        "{0}.label {0}\n{0}.type DERIVE\n{0}.min 0\n{0}.cdef {0},10,/\n{0}.value 0\n"
    )
    assert answer == (
        "multigraph app_cpu\ngraph_title CPU by app\n"
        + part.format("shop")
        + "multigraph app_cpu.shop\ngraph_title CPU of shop\n"
        + part.format("web")
        + ".\n"
    )


def test_a_master_without_multigraph_gets_one_graph() -> None:
    talk = talk_of(cpu(5), cpu(1, app="blog"))
    assert talk.answer(["fetch", "app_cpu"], 0.0) == "blog.value 0\nshop.value 0\n.\n"
    assert "multigraph" not in talk.answer(["config", "app_cpu"], 0.0)


def test_hosts_are_nodes_of_their_own() -> None:
    talk = talk_of(load(0.5, "web-1.example.com"), load(2, "h2"), cpu(1))
    assert talk.answer(["nodes"], 0.0) == "steersman\nh2\nweb-1.example.com\n.\n"
    assert talk.answer(["list"], 0.0) == "app_cpu\n"
    assert talk.answer(["list", "web-1.example.com"], 0.0) == "host_load_web_1_example_com\n"
    config = talk.answer(["config", "host_load_web_1_example_com"], 0.0)
    assert config.startswith("host_name web-1.example.com\ngraph_title Load average\n")
    assert talk.answer(["fetch", "host_load_h2"], 0.0) == "load.value 2\n.\n"


def test_latency_shows_the_slowest_route_of_each_quantile() -> None:
    name = "steersman_route_latency_seconds"
    slow, fast = (
        Sample(
            time=1,
            name=name,
            value=value,
            labels={"app": "shop", "quantile": "0.99", "route": route},
        )
        for value, route in ((0.75, "/a"), (0.25, "/b"))
    )
    talk = talk_of(slow, fast)
    talk.answer(["cap", "multigraph"], 0.0)
    assert "_0_99.value 0.75\n" in talk.answer(["fetch", "app_latency"], 0.0)


def test_what_apps_tell_of_themselves_has_a_graph_for_each_name() -> None:
    told = [
        Sample(time=1, name="orders.open", value=value, labels={"app": app, "host": host})
        for value, app, host in ((3, "shop", "h1"), (4, "shop", "h2"), (5, "blog", "h1"))
    ]
    told.append(Sample(time=1, name="orders_open", value=1, labels={"app": "blog"}))
    talk = talk_of(*told)
    talk.answer(["cap", "multigraph"], 0.0)
    assert talk.answer(["fetch", "other_values"], 0.0) == (
        "multigraph other_values\norders_open.value 13\n"
        "multigraph other_values.orders_open\nblog.value 6\nshop.value 7\n.\n"
    )


def test_names_that_apps_make_up_take_no_room_from_what_is_known() -> None:
    made_up = (Sample(time=1, name=f"n{n}", value=1, labels={"app": "shop"}) for n in range(20_000))
    sheets = Sheets(600)
    for one in (*made_up, load(1)):
        sheets.take(one, 0.0)
    assert sheets.refused == 19_000
    assert sheets.fresh(0.0)["host_load"] == {"h1": {"load": 1}}


def test_what_was_not_seen_for_long_is_gone() -> None:
    talk = talk_of(load(1))
    assert talk.answer(["list", "h1"], 599.0) == "host_load_h1\n"
    assert talk.answer(["list", "h1"], 601.0) == "\n"
    assert talk.answer(["fetch", "host_load_h1"], 601.0) == "# Unknown service\n.\n"


@pytest.mark.parametrize("words", [[], ["fetch"], ["list", "a", "b"], ["GET", "/", "HTTP/1.1"]])
def test_other_words_are_answered_as_munin_node_does(words: list[str]) -> None:
    assert talk_of().answer(words, 0.0).startswith("# Unknown command. Try ")


@given(st.text())
def test_field_names_are_munins(text: str) -> None:
    assert re.fullmatch("[A-Za-z_][A-Za-z0-9_]*", field(text))
    assert field(text) != "root"


@asynccontextmanager
async def node(**config: Any) -> AsyncIterator[tuple[Munin, int]]:
    port = free_port()
    plugin = Munin("m", Munin.Config(address=f"127.0.0.1:{port}", **config))
    await plugin.start()
    yield plugin, port
    await plugin.close()


async def said_to(port: int, words: bytes) -> bytes:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(words)
    try:
        return await reader.read()
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


async def test_a_conversation_ends_with_quit() -> None:
    async with node() as (plugin, port):
        await plugin.ship([load(1.5), load(float("nan"), "h2")])
        assert await said_to(port, b"nodes\r\nfetch host_load_h1\nquit\n") == (
            b"# munin node at steersman\nsteersman\nh1\n.\nload.value 1.5\n.\n"
        )


async def test_a_line_without_end_is_cut_off() -> None:
    async with node() as (_, port):
        got = await said_to(port, b"x" * 100_000)
        assert got in (b"# munin node at steersman\n", b"reset")
        assert (await said_to(port, b".\n")) == b"# munin node at steersman\n"


async def test_who_is_not_on_the_list_is_shown_out() -> None:
    async with node(allow=["192.0.2.0/24"]) as (plugin, port):
        assert await said_to(port, b"list\n") in (b"", b"reset")
        assert plugin._door is not None
        assert plugin._door.refused == 1


async def test_who_says_nothing_is_shown_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("steersman_plugins.munin._IDLE", 0.05)
    async with node() as (_, port):
        assert await said_to(port, b"") in (b"# munin node at steersman\n", b"reset")


@pytest.mark.parametrize("allow", [["10.0.0.1/8"], ["localhost"], [""]])
def test_a_network_that_is_none_is_refused(allow: list[str]) -> None:
    with pytest.raises(ValueError, match="allowed: an address or a network"):
        Munin.Config(allow=allow)
