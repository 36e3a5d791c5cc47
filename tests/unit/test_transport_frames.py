"""Frames survive any bytes; hostile ones raise and never grow memory."""

from __future__ import annotations

import struct
import tracemalloc

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from steersman.transport.blobs import SMALL, batches
from steersman.transport.errors import ProtocolError
from steersman.transport.frames import MAX_BODY, MAX_HEADER, Decoder, Frame, pack
from steersman.transport.inbox import Inbox

headers = st.dictionaries(
    st.text(), st.none() | st.booleans() | st.text() | st.integers(-(2**63), 2**63 - 1)
)


def raw(header: bytes, body: bytes = b"") -> bytes:
    return struct.pack(">II", len(header), len(body)) + header + body


@given(st.lists(st.tuples(headers, st.binary())), st.data())
def test_frames_survive_any_content_and_any_cut(
    frames: list[tuple[dict[str, object], bytes]], data: st.DataObject
) -> None:
    stream = b"".join(pack(header, body) for header, body in frames)
    decoder, seen, start = Decoder("h1"), [], 0
    while start < len(stream):
        end = data.draw(st.integers(start + 1, len(stream)))
        seen += decoder.feed(stream[start:end])
        start = end
    assert [(frame.header, frame.body) for frame in seen] == frames
    assert sum(frame.size for frame in seen) == len(stream)


@pytest.mark.parametrize(
    ("hostile", "why"),
    [
        (b"HTTP/1.1 400 Bad Request\r\n", "bytes"),
        (struct.pack(">II", MAX_HEADER + 1, 0), "bytes"),
        (struct.pack(">II", 2, MAX_BODY + 1), "bytes"),
        (raw(b""), "no JSON"),
        (raw(b"{"), "no JSON"),
        (raw(b'{"a":NaN}'), "no JSON"),
        (raw(b'{"a":Infinity}'), "no JSON"),
        (raw(b'{"a":1e999}'), "no JSON"),
        (raw(b'{"a":"\xff"}'), "no JSON"),
        (raw(b'{"a":"\\ud800"}'), "no JSON"),
        (raw(b'{"a":' + b"[" * 100_000 + b"]" * 100_000 + b"}"), "no JSON"),
        (raw(b'{"a":' + b"[" * 64 + b"]" * 64 + b"}"), "nested deeper"),
        (raw(b'{"a":' * 64 + b"{}" + b"}" * 64), "nested deeper"),
        (raw(b"[]"), "no object"),
        (raw(b"null"), "no object"),
        (raw(b'{"a":[' + b"0," * 1_000_000 + b"0]}"), "too many values"),
    ],
)
def test_hostile_input_is_a_protocol_error_that_names_the_host(hostile: bytes, why: str) -> None:
    with pytest.raises(ProtocolError, match=f"host h1: .*{why}"):
        Decoder("h1").feed(hostile)


def test_sixty_three_levels_are_fine() -> None:
    (frame,) = Decoder("h1").feed(raw(b'{"a":' + b"[" * 63 + b"]" * 63 + b"}"))
    assert list(frame.header) == ["a"]


def test_the_limits_themselves_fit() -> None:
    text = "x" * (MAX_HEADER - len(b'{"a":""}'))
    stream = pack({"a": text}, b"b" * MAX_BODY)
    (frame,) = Decoder("h1").feed(stream)
    assert (len(frame.header["a"]), len(frame.body)) == (len(text), MAX_BODY)


@pytest.mark.parametrize(
    ("header", "body"), [({"a": "x" * MAX_HEADER}, b""), ({}, b"b" * (MAX_BODY + 1))]
)
def test_what_no_reader_takes_is_never_sent(header: dict[str, str], body: bytes) -> None:
    with pytest.raises(ValueError, match="is over"):
        pack(header, body)


def test_a_decoder_gives_its_memory_back() -> None:
    decoder = Decoder("h1")
    frame = pack({"a": "x" * 5_000_000}, b"b" * MAX_BODY)
    tracemalloc.start()
    try:
        for start in range(0, len(frame), 32_768):
            decoder.feed(frame[start : start + 32_768])
        left, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert left < 200_000
    # orjson takes about twelve times a document while it parses it, and gives it back.
    assert peak < 16 * len(frame)


def inbox_frame(number: int, size: int = 10) -> Frame:
    (frame,) = Decoder("h1").feed(pack({"n": number}, b"b" * size))
    return frame


async def test_an_inbox_drops_the_oldest_and_counts() -> None:
    inbox = Inbox(3, 10_000)
    assert [inbox.put(inbox_frame(number)) for number in range(5)] == [True] * 3 + [False] * 2
    inbox.close()
    assert [frame.header["n"] async for frame in inbox] == [2, 3, 4]
    assert inbox.dropped == 2


async def test_an_inbox_is_limited_in_bytes() -> None:
    inbox = Inbox(1000, 1000)
    for number in range(100):
        inbox.put(inbox_frame(number, 300))
    inbox.close(ProtocolError("h1", "enough"))
    kept = [await inbox.get() for _ in range(3)]
    assert [frame and frame.header["n"] for frame in kept] == [97, 98, 99]
    with pytest.raises(ProtocolError):
        await inbox.get()


def test_orjson_is_what_pack_writes() -> None:
    assert pack({"id": 1}) == raw(orjson.dumps({"id": 1}))


def test_small_blobs_travel_together_and_large_ones_alone() -> None:
    sizes = {"a": SMALL, "b": SMALL + 1, "c": 0, **{f"s{n:02}": SMALL for n in range(20)}}
    made = list(batches(sizes))
    assert ["b"] in made
    assert sorted(name for batch in made for name in batch) == sorted(sizes)
    assert all(sum(sizes[name] for name in batch) <= MAX_BODY for batch in made)
    assert len(made) == 3
    assert list(batches({})) == []
