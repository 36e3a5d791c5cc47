"""git's report to a pusher, rewritten: whatever the cuts of its packets."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.server.git.commands import Command, parse_command
from steersman.server.git.report import Report
from steersman.server.git.updates import PushRefused, read_updates

SHA = "1" * 40
ADVERTISED = b"0043" + b"a" * 63 + b"0000"
DECLINED = b"ng refs/heads/main pre-receive hook declined\n"


def line(text: bytes) -> bytes:
    return b"%04x" % (len(text) + 4) + text


def band(data: bytes, number: bytes = b"\x01") -> bytes:
    return line(number + data)


def rewritten(answer: bytes, *cuts: int, **reasons: str) -> bytes:
    names = {f"refs/heads/{ref}": why for ref, why in reasons.items()}
    report = Report(lambda: names)
    out, at = b"", 0
    for cut in (*sorted(cuts), len(answer)):
        out += report.feed(answer[at:cut])
        at = cut
    return out + report.end()


NESTED = line(b"unpack ok\n") + line(DECLINED) + line(b"ok refs/heads/other\n") + b"0000"
BANDED = ADVERTISED + band(b"remote words\n", b"\x02") + band(NESTED) + b"0000"


def test_our_reason_takes_the_place_of_gits() -> None:
    said = b"ng refs/heads/main release 3 was rejected\n"
    nested = line(b"unpack ok\n") + line(said) + line(b"ok refs/heads/other\n") + b"0000"
    expected = ADVERTISED + band(b"remote words\n", b"\x02") + band(nested) + b"0000"
    assert rewritten(BANDED, main="release 3 was rejected") == expected
    plain = ADVERTISED + line(b"unpack ok\n") + line(DECLINED) + b"0000"
    expected = ADVERTISED + line(b"unpack ok\n") + line(said) + b"0000"
    assert rewritten(plain, main="release 3 was rejected") == expected


def test_a_ref_that_git_refuses_itself_keeps_gits_reason() -> None:
    other = line(b"unpack ok\n") + line(b"ng refs/heads/main failed to update ref\n") + b"0000"
    answer = ADVERTISED + band(other) + b"0000"
    assert rewritten(answer, main="release 3 was rejected") == answer
    assert rewritten(BANDED) == BANDED
    assert rewritten(BANDED, other="nobody declined it") == BANDED


def test_what_is_advertised_is_passed_on_though_it_looks_like_a_report() -> None:
    advertised = line(DECLINED) + b"0000"
    assert rewritten(advertised, main="no") == advertised


@settings(max_examples=200)
@given(st.lists(st.integers(0, len(BANDED)), max_size=8))
def test_cuts_change_nothing(cuts: list[int]) -> None:
    assert rewritten(BANDED, *cuts, main="why") == rewritten(BANDED, main="why")


@settings(max_examples=200)
@given(st.integers(1, len(NESTED) - 1))
def test_a_report_in_two_packets_is_put_together(at: int) -> None:
    answer = ADVERTISED + band(NESTED[:at]) + band(NESTED[at:]) + b"0000"
    if NESTED[:at].endswith(b"0000"):
        return
    assert (
        rewritten(answer, main="why")
        == ADVERTISED
        + band(NESTED.replace(line(DECLINED), line(b"ng refs/heads/main why\n")))
        + b"0000"
    )


@settings(max_examples=300)
@given(st.binary(max_size=300))
def test_whatever_git_says_is_passed_on_whole(answer: bytes) -> None:
    assert rewritten(answer) == answer or b"\x01" in answer


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("git-receive-pack 'shop'", Command("receive-pack", "shop")),
        ("git-receive-pack '/shop'", Command("receive-pack", "shop")),
        ("git-receive-pack '/shop.git'", Command("receive-pack", "shop")),
        ("git-upload-pack 'shop-2.git'", Command("upload-pack", "shop-2")),
        ("git-upload-archive 'shop'", None),
        ("git-receive-pack shop", None),
        ("git receive-pack 'shop'", None),
        ("git-receive-pack 'shop' ", None),
        (" git-receive-pack 'shop'", None),
        ("git-receive-pack 'shop'\n", None),
        ("git-receive-pack 'shop'; id", None),
        ("git-receive-pack '../shop'", None),
        ("git-receive-pack '//shop'", None),
        ("git-receive-pack '/srv/shop'", None),
        ("git-receive-pack '/~root/shop'", None),
        ("git-receive-pack '-shop'", None),
        ("git-receive-pack '--upload-pack=id'", None),
        ("git-receive-pack 'Shop'", None),
        ("git-receive-pack 'sho''p'", None),
        ("git-receive-pack '" + "a" * 41 + "'", None),
        ("git-receive-pack 'shop' 'blog'", None),
        ("git-receive-pack ''", None),
        ("git-receive-pack '\u0456shop'", None),
        ("", None),
        ("scp -t /", None),
        ("sh", None),
    ],
)
def test_there_are_two_commands_and_they_name_an_app(text: str, expected: Command | None) -> None:
    assert parse_command(text) == expected


@pytest.mark.parametrize(
    "ref",
    [
        "refs/heads/",
        "refs/heads/-x",
        "refs/heads/a..b",
        "refs/heads/@{0}",
        "refs/heads/a b",
        "refs/heads/.git",
        "refs/heads/a/.b",
        "refs/heads/a.lock",
        "refs/heads/a\x07b",
        "refs/heads/" + "a" * 201,
        "refs/heads/a\u009bb",
        "refs/steersman/x",
        "refs/notes/commits",
        "refs/replace/x",
        "HEAD",
        "main",
        "",
    ],
)
def test_a_hostile_ref_name_is_refused(ref: str) -> None:
    with pytest.raises(PushRefused) as raised:
        read_updates([[SHA, SHA, ref]])
    assert "\x07" not in str(raised.value)


@pytest.mark.parametrize(
    "commands",
    [None, {}, ["x"], [[SHA, SHA]], [[SHA, SHA, 1]], [["x", SHA, "refs/heads/a"]], [[]], "x"],
)
def test_what_a_hook_may_not_say_is_refused(commands: object) -> None:
    with pytest.raises(PushRefused):
        read_updates(commands)


def test_a_thousand_refs_are_enough() -> None:
    assert len(read_updates([[SHA, SHA, f"refs/tags/v{n}"] for n in range(1000)])) == 1000
    with pytest.raises(PushRefused, match="at most 1000"):
        read_updates([[SHA, SHA, f"refs/tags/v{n}"] for n in range(1001)])
