"""The values that fields are made of: what each takes, what each refuses, and in which words."""

import subprocess
from collections.abc import Callable

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.api.app import check_index, check_python
from steersman.api.host import check_address, check_host_key, check_jump, check_login
from steersman.api.names import (
    MAX_USER,
    app_user,
    check_app_name,
    check_env_name,
    check_label_key,
    check_label_value,
    check_name,
    check_process_name,
    check_user,
    socket_path,
)
from steersman.api.process import check_http_path
from steersman.api.quantities import (
    amount_of,
    format_duration,
    format_size,
    parse_amount,
    parse_duration,
    parse_size,
)
from steersman.api.refusal import Refused, quoted, refuse_all
from steersman.api.routes import check_route_host, check_route_path
from steersman.api.source import check_git_url, check_package, check_ref
from steersman.api.text import (
    check_env_value,
    check_host_folder,
    check_inner_path,
    check_local_path,
    check_plain,
    parse_command,
    split_command,
)

ED25519 = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ1o4jhfBoZlBHWKEVFgnFbLgIkVLtcgaFpHyXLVFEiP"

TAKEN = [
    (check_name, ["a", "1", "web-1", "a" * 63]),
    (check_app_name, ["a", "shop", "a-1", "a" * 40]),
    (check_process_name, ["web", "w" * 24]),
    (check_env_name, ["A", "_", "a_1", "PATH"]),
    (check_user, ["shop", "_shop", "a-b"]),
    (check_label_key, ["role", "app.kubernetes.io/name", "A_b.c"]),
    (check_label_value, ["", "web", "1.2_3-x"]),
    (check_route_host, ["localhost", "shop.example.com", "*.example.com", "10.0.0.1",
                        "xn--bcher-kva.ch"]),
    (check_route_path, ["/", "/static/", "/.well-known/x", "/~a/b_c-d.e"]),
    (check_http_path, ["/", "/healthz", "/h?a=b&c=%20"]),
    (check_inner_path, ["static", "a/b", ".", "a..b", "é"]),
    (check_local_path, ["src", "/srv/code", "/srv/../x", "."]),
    (check_host_folder, ["/srv/steersman", "/tmp/a_b-c.d"]),
    (check_plain, ["~/.ssh/id", "keys/id"]),
    (check_env_value, ["", "a b", "tab\there", "ü", "100%", "$X"]),
    (check_python, ["3.11", "3.9", "3.12.1"]),
    (check_index, ["company", "https://pypi.example.com/simple/"]),
    (check_package, ["shop==1.2", "a[b,c]==2.0rc1", "A.b_c==1!2.0+local"]),
    (check_address, ["10.0.0.1", "::1", "fe80::1", "web1.example.com", "h1", "under_score"]),
    (check_login, ["root", "deploy", "first.last", "DOM\\user"]),
    (check_jump, ["bastion", "me@bastion", "me@bastion:2222", "bastion:22", "me@[::1]:22"]),
    (check_host_key, [ED25519]),
]  # fmt: skip

REFUSED = [
    (check_name, ["", "-", "a-", "-a", "A", "a.b", "a_b", "a" * 64, "ä", "a\n", "a b"]),
    (check_app_name, ["", "1a", "a-", "a" * 41, "../a", "a/b", "shop\n"]),
    (check_process_name, ["", "1", "w" * 25, "web.1", "web@1"]),
    (check_env_name, ["", "1A", "A-B", "A B", "A=B", "Ä", "A\n"]),
    (check_user, ["", "root", "0", "-x", "a b", "a" * 33, "a:b", "a\n"]),
    (check_label_key, ["", "/", "a/", "/a", "a b", "-a", "a" * 64, "x/" + "a" * 64]),
    (check_label_value, ["a b", "-a", "a-", "a" * 64, "a\n"]),
    (check_route_host, ["", "*", "a..b", "-a.b", "a;b", "Shop.example.com", "a.*.b", "a" * 254,
                        "~x", "a{}", "a\n", "a b", "a_b", "*.*.b", "example.com:80", "http://a"]),
    (check_route_path, ["", "static", "/a b", "/a;", "/{x}", "/a/../b", "/./a", "//a", "/a\n",
                        "/%20"]),
    (check_http_path, ["", "healthz", "/a b", "/a\r\nHost: x", "/ü", "http://x/"]),
    (check_inner_path, ["", "/etc", "..", "a/../b", "a\0", "a\nb", "e\u0301", "x" * 256]),
    (check_local_path, ["", "..", "../x", "a/../../x", "/a\0", "a\n"]),
    (check_host_folder, ["", "/", "srv", "/a/../b", "/a b", "/a/", "/%n", "/a\n", "//a", "/."]),
    (check_plain, ["", "-oProxyCommand=x", "a\nb"]),
    (check_env_value, ["a\nb", "\0", "\r", "\x1b[0m", "\x7f", "\x85"]),
    (check_python, ["3", "3.10 ", "2.7", "3.11\n", "latest"]),
    (check_index, ["", "ftp://x", "Company", "https://a b", "../x"]),
    (check_package, ["", "shop", "shop>=1", "shop==", "-e x==1", "a==1 --index-url x",
                     "a==1\n"]),
    (check_address, ["", "-oProxyCommand=x", "a b", "a;b", "1.2.3.4:22", "a\n", "a/b"]),
    (check_login, ["", "-l", "a b", "a:b", "a;b", "a\n", "x" * 65]),
    (check_jump, ["", "-J", "a b", "a:0", "a:65536", "a:b", "@a", "a@-oX", "a@b@c"]),
    (check_host_key, ["", "ssh-ed25519", "ssh-ed25519 !!!", "ssh-ed25519 AAAA", "ssh-dss AAAA",
                      ED25519.replace("ssh-ed25519", "ssh-rsa"), "SHA256:abc"]),
]  # fmt: skip


@pytest.mark.parametrize(
    ("check", "value"), [(check, value) for check, values in TAKEN for value in values]
)
def test_what_is_taken_comes_back_unchanged(check: Callable[[str], str], value: str) -> None:
    assert check(value) == value


@pytest.mark.parametrize(
    ("check", "value"), [(check, value) for check, values in REFUSED for value in values]
)
def test_what_is_refused_says_what_is_allowed(check: Callable[[str], str], value: str) -> None:
    with pytest.raises(Refused) as caught:
        check(value)
    assert caught.value.found
    assert caught.value.allowed
    assert caught.value.found.isprintable()


@pytest.mark.parametrize(
    "url",
    [
        "https://git.example.com/shop.git",
        "https://user:pass@git.example.com/shop.git",
        "https://[::1]/shop.git",
        "ssh://git@example.com:2222/shop.git",
        "file:///srv/git/shop.git",
        "git@github.com:me/shop.git",
        "git@[::1]:me/shop.git",
        "example.com:shop",
        "/srv/git/shop.git",
    ],
)
def test_git_urls_that_only_fetch_are_taken(url: str) -> None:
    assert check_git_url(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "",
        "shop",
        "../shop",
        "ext::sh -c id",
        "ext::id",
        "fd::17",
        "::id",
        "-uid",
        "--upload-pack=id",
        "git://example.com/shop",
        "ftp://example.com/shop",
        "EXT://x",
        "ssh://-oProxyCommand=id/x",
        "ssh://-oProxyCommand=id@example.com/x",
        "ssh://example.com/-x",
        "https://-x/y",
        "https:///shop",
        "https://example.com:notaport/x",
        "http://10.0.0.1:8080/shop.git",
        "https://[::1/x",
        "-oProxyCommand=id:x",
        "me@-oProxyCommand=id:x",
        "example.com:-x",
        "file://host/x",
        "https://example.com/a\nb",
        "https://example.com/a b",
        "example.com::x",
    ],
)
def test_git_urls_that_could_run_something_are_refused(url: str) -> None:
    with pytest.raises(Refused):
        check_git_url(url)


@pytest.mark.parametrize("ref", ["main", "v1.2", "feature/x", "refs/heads/main", "a" * 40, "é"])
def test_refs_are_taken(ref: str) -> None:
    assert check_ref(ref) == ref


@pytest.mark.parametrize(
    "ref",
    ["", "-x", "--upload-pack=id", "a..b", "a@{1}", "@", "a b", "a\x07", "a~1", "a^", "a:b", "a?",
     "a*", "a[", "a\\b", "/a", "a/", "a//b", ".a", "a/.b", "a.lock", "a.lock/b", "a.", "x" * 201],
)  # fmt: skip
def test_refs_that_git_refuses_or_reads_as_options_are_refused(ref: str) -> None:
    with pytest.raises(Refused):
        check_ref(ref)


@settings(max_examples=60)
@given(st.text(st.sampled_from("ab.@{}/-~^:?*[\\ lock"), min_size=1, max_size=8))
def test_a_ref_is_taken_when_git_itself_takes_it(ref: str) -> None:
    # A lone "-…" is ours to refuse: git's plumbing would take some of those.
    asked = subprocess.run(
        ["git", "check-ref-format", "--allow-onelevel", ref], check=False, capture_output=True
    )
    try:
        check_ref(ref)
        taken = True
    except Refused:
        taken = False
    assert taken == (asked.returncode == 0 and not ref.startswith("-"))


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("30s", 30), ("10m", 600), ("1h30m", 5400), ("1d", 86400), ("250ms", 0.25), ("1.5s", 1.5)],
)
def test_durations_are_read(text: str, seconds: float) -> None:
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "value",
    ["", "30", "s", "1 h", "-1s", "1w", "1h 30m", "400d", "9" * 400 + "s", -1, True, None, [],
     float("nan"), float("inf"), 10**400],
)  # fmt: skip
def test_other_durations_are_refused(value: object) -> None:
    with pytest.raises(Refused):
        parse_duration(value)


@given(st.integers(0, 10_000_000))
def test_a_duration_survives_its_text(milliseconds: int) -> None:
    seconds = milliseconds / 1000
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-6)


@pytest.mark.parametrize(
    ("text", "size"),
    [("512M", 512_000_000), ("512Mi", 512 << 20), ("1G", 10**9), ("1.5Gi", 3 << 29), ("1k", 1000),
     ("100", 100), (4096, 4096)],
)  # fmt: skip
def test_sizes_are_read_as_kubernetes_reads_them(text: str | int, size: int) -> None:
    assert parse_size(text) == size


@pytest.mark.parametrize(
    "value", ["", "M", "1m", "1 M", "1MB", "-1M", "0", 0, -1, True, None, 1.5, "9" * 400 + "T"]
)
def test_other_sizes_are_refused(value: object) -> None:
    with pytest.raises(Refused):
        parse_size(value)


@given(st.integers(1, 1 << 50))
def test_a_size_survives_its_text(size: int) -> None:
    assert parse_size(format_size(size)) == size


def test_surge_rounds_up_and_unavailable_down() -> None:
    assert amount_of("25%", 3, round_up=True) == 1
    assert amount_of("25%", 3, round_up=False) == 0
    assert amount_of("100%", 3, round_up=False) == 3
    assert amount_of(2, 3, round_up=True) == 2


@pytest.mark.parametrize("value", ["", "5", "101%", "-1%", "1.5%", -1, 1.5, True, None, {}])
def test_other_amounts_are_refused(value: object) -> None:
    with pytest.raises(Refused):
        parse_amount(value)


def test_a_command_line_is_split_as_a_shell_would() -> None:
    assert split_command("gunicorn 'a b' --x=\"$PORT\" c\\ d") == (
        "gunicorn", "a b", "--x=$PORT", "c d",
    )  # fmt: skip
    assert parse_command("run ${PORT} $SOCKET\n") == ("run", "${PORT}", "$SOCKET")


def test_a_list_is_taken_as_it_is() -> None:
    assert parse_command(["sh", "-c", "a && b | c > ${X:-1}"]) == (
        "sh", "-c", "a && b | c > ${X:-1}",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("command", "said"),
    [
        ("a && b", "&&"),
        ("a | b", "|"),
        ("cd x; y", "x;"),
        ("a > b", ">"),
        ("a `id`", "`"),
        ("a $(id)", "$("),
        ("a ${PORT:-8000}", "${PORT:"),
        ("X=1 a", "assignment"),
        ("a 'b", "closing"),
        ("", "empty"),
        ("   ", "empty"),
        ("'' a", "empty"),
        ([], "empty"),
        (["a", 1], "not text"),
        (["a", "b\nc"], "control"),
        ("a 'b\0'", "control"),
        (None, "no text"),
        (7, "no text"),
    ],
)
def test_a_command_that_only_a_shell_understands_is_refused(command: object, said: str) -> None:
    with pytest.raises(Refused) as caught:
        parse_command(command)
    assert said in caught.value.found


def test_a_long_app_name_gets_a_user_that_linux_takes_and_no_other_has() -> None:
    users = {app_user("a" * 39 + end) for end in "bcd"}
    assert len(users) == 3
    assert all(len(user) == MAX_USER and check_user(user) == user for user in users)
    assert app_user("shop") == "app-shop"


def test_a_socket_path_that_the_kernel_refuses_is_refused_first() -> None:
    assert socket_path("/run/steersman", "shop", "web") == "/run/steersman/shop/web.sock"
    longest = socket_path("/run/steersman", "a" * 40, "w" * 24, 999_999)
    assert len(longest) <= 107
    fits = "/" + "r" * (107 - len("/" + "/shop/web-g8.sock"))
    assert len(socket_path(fits, "shop", "web", 8)) == 107
    with pytest.raises(Refused, match="108 bytes"):
        socket_path(f"{fits}r", "shop", "web", 8)


def test_refusals_travel_together() -> None:
    refuse_all([])
    with pytest.raises(Refused) as caught:
        refuse_all([Refused("a", "b"), Refused("c", "d", at=("x", 1))])
    assert [each.at for each in caught.value.others] == [("x", 1)]


@given(st.text())
def test_quoted_text_never_drives_a_terminal(text: str) -> None:
    assert quoted(text).isprintable()
