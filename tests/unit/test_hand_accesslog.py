"""What lines of a proxy's log say: a real nginx's, and what hostile clients make it write."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.hand import accesslog
from steersman.hand.accesslog import Answer, bucket_of, latency_of, of_caddy, of_nginx

# Written by nginx 1.22.1 with a site of drivers/nginx.py, the link moving while /slow was asked.
WRITTEN = (Path(__file__).parents[1] / "golden/hand/nginx.access.log").read_bytes().splitlines()
ROUTES = [["shop.test", "/"], ["shop.test", "/static/"], ["*.shop.test", "/"]]


def read(line: bytes) -> Answer:
    answer = of_nginx(line)
    assert answer is not None
    return answer


def test_lines_of_a_real_nginx_say_who_answered() -> None:
    told = [
        (answer.route, answer.status, answer.first, answer.last, answer.sent)
        for answer in map(read, WRITTEN)
    ]
    assert told == [
        ("shop.test/", 200, 7, 7, 123),
        ("shop.test/static/", 200, 7, 7, 238),
        ("shop.test/", 200, 7, 8, 123),
        ("", 400, 0, 0, 309),
        ("shop.test/", 502, 0, 0, 314),
        ("shop.test/static/", 200, 7, 7, 238),
    ]
    slow = read(WRITTEN[2])
    assert (slow.end, slow.seconds) == (1795647814.601, 1.001)
    assert slow.begun == slow.passed == pytest.approx(1795647813.6)
    quick = read(WRITTEN[0])
    assert quick.end - quick.begun == pytest.approx(0.002, abs=1e-6)
    assert quick.end - quick.passed == pytest.approx(0.001, abs=1e-6)


def test_an_answer_that_sent_nginx_elsewhere_took_both_times() -> None:
    line = WRITTEN[0].replace(b"|0.002|0.001|", b"|0.090|0.030 : 0.040, -|")
    assert read(line).seconds == pytest.approx(0.07)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"rubbish",
        WRITTEN[0].rpartition(b" ")[0],  # `combined` alone
        WRITTEN[0][:-20],
        WRITTEN[0] + b"|x",
        WRITTEN[0].replace(b"|0.002|", b"|soon|"),
        WRITTEN[0].replace(b"|200|123|", b"||123|"),
    ],
)
def test_what_is_no_line_of_ours_is_none(line: bytes) -> None:
    assert of_nginx(line) is None


def escaped(value: bytes) -> bytes:
    """Escape as nginx's logs do: ngx_http_log_escape."""
    return b"".join(
        bytes([byte]) if 32 <= byte < 127 and byte not in b'"\\' else b"\\x%02X" % byte
        for byte in value
    )


@given(request=st.binary(max_size=80), agent=st.binary(max_size=80), referer=st.binary(max_size=80))
def test_no_client_can_write_what_is_read(request: bytes, agent: bytes, referer: bytes) -> None:
    ours = WRITTEN[0].rpartition(b'"')[2]
    head = b'::1 - - [25/Nov/2026:23:03:33 +0000] "%s" 200 2 "%s" "%s"'
    line = head % (escaped(request), escaped(referer), escaped(agent)) + ours
    answer = read(line)
    assert (answer.route, answer.status, answer.first, answer.sent) == ("shop.test/", 200, 7, 123)


@given(line=st.binary(max_size=200))
def test_whatever_a_line_is_reading_it_raises_nothing(line: bytes) -> None:
    of_nginx(b'"' + line)
    of_nginx(b'" steersman|' + line)
    of_caddy(b"{" + line, ROUTES)


def of_json(host: str, uri: str, **changes: object) -> Answer | None:
    told = {"ts": 100.5, "duration": 0.25, "status": 200, "size": 12, **changes}
    return of_caddy(json.dumps({**told, "request": {"host": host, "uri": uri}}).encode(), ROUTES)


def test_caddys_lines_name_a_route_of_the_app_or_none() -> None:
    asked = [
        ("shop.test", "/a?b=/static/", "shop.test/"),
        ("SHOP.test:8080", "/static/x", "shop.test/static/"),
        ("shop.test", "/%73tatic/x", "shop.test/static/"),
        ("eu.shop.test", "/static/x", "*.shop.test/"),
        ("evil.test", "/static/", ""),
        ("shop.test", "*", ""),
    ]
    for host, uri, route in asked:
        answer = of_json(host, uri)
        assert answer is not None and answer.route == route, (host, uri)
        assert (answer.begun, answer.passed, answer.seconds) == (100.25, 100.5, 0.25)


def test_a_client_that_left_caddy_was_cut_off() -> None:
    counts = accesslog.tally()
    for status in (200, 499, 0, 502):
        answer = of_json("shop.test", "/", status=status)
        assert answer is not None
        accesslog.add(counts, answer)
    assert (counts["requests"], counts["errors"], counts["cut"]) == (4, 1, 2)
    assert of_json("shop.test", "/", size="many") is None


@given(milliseconds=st.integers(0, 10**7))
def test_a_bucket_is_near_what_it_holds(milliseconds: int) -> None:
    bucket = bucket_of(milliseconds / 1000)
    assert latency_of(bucket) * 1000 == pytest.approx(milliseconds, rel=1 / 31, abs=0.001)
    assert bucket_of((milliseconds + 1) / 1000) >= bucket
    if milliseconds < 32:
        assert latency_of(bucket) * 1000 == pytest.approx(milliseconds)


@given(st.lists(st.integers(0, 60_000), min_size=1), st.lists(st.integers(0, 60_000)))
def test_quantiles_of_hosts_added_up_are_those_of_all(one: list[int], two: list[int]) -> None:
    latency: dict[int, int] = {}
    for milliseconds in (*one, *two):
        bucket = bucket_of(milliseconds / 1000)
        latency[bucket] = latency.get(bucket, 0) + 1
    ordered = sorted((*one, *two))
    for share in (0.5, 0.9, 0.99):
        rank = next(n for n in range(1, len(ordered) + 1) if n >= share * len(ordered))
        told = accesslog.quantile(latency, share) * 1000
        assert told == pytest.approx(ordered[rank - 1], rel=1 / 31, abs=0.001)
