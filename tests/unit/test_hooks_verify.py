"""Signatures of webhooks: the providers' own examples, and everything that is not one."""

import base64
import hashlib
import hmac

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from steersman.server.hooks.verify import Forged, Provider, single, verify

EVERYBODY = "It's a Secret to Everybody"
# docs.github.com, "Validating webhook deliveries".
GITHUB = "sha256=757107ea0eb2509fc211221cce984b8a37570b6d7586c22c46f4379c8b043e17"
# support.atlassian.com, "Manage webhooks".
BITBUCKET = "sha256=a4771c39fbe90f317c7824e83ddef3caae9cb3d976c214ace1f2937e133263c9"
# github.com/standard-webhooks/standard-webhooks, its libraries' tests.
STANDARD = {
    "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "webhook-timestamp": "1614265330",
    "webhook-signature": "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=",
}
STANDARD_SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
STANDARD_BODY = b'{"test": 2432232314}'
THEN = 1614265330.0
HEX = GITHUB.removeprefix("sha256=")

Case = tuple[Provider, str, dict[str, str], bytes]
GOOD: dict[str, Case] = {
    "github": ("github", EVERYBODY, {"x-hub-signature-256": GITHUB}, b"Hello, World!"),
    "bitbucket": ("bitbucket", EVERYBODY, {"x-hub-signature": BITBUCKET}, b"Hello World!"),
    "gitea": ("gitea", EVERYBODY, {"x-gitea-signature": HEX}, b"Hello, World!"),
    "forgejo": ("forgejo", EVERYBODY, {"x-forgejo-signature": HEX}, b"Hello, World!"),
    "gitlab, signed": ("gitlab", STANDARD_SECRET, STANDARD, STANDARD_BODY),
    "gitlab, token": ("gitlab", EVERYBODY, {"x-gitlab-token": EVERYBODY}, b"{}"),
}


@pytest.fixture(params=GOOD.values(), ids=list(GOOD))
def case(request: pytest.FixtureRequest) -> Case:
    found: Case = request.param
    return found


def test_the_providers_own_examples_are_believed(case: Case) -> None:
    provider, secret, headers, body = case
    assert verify(provider, [secret], headers, body, THEN)


def test_both_secrets_are_good_while_one_is_replaced(case: Case) -> None:
    provider, secret, headers, body = case
    other = "whsec_" + base64.b64encode(b"another secret").decode()
    assert verify(provider, ["another secret", secret], headers, body, THEN)
    assert verify(provider, [secret, other], headers, body, THEN)


def test_nothing_else_is_believed(case: Case) -> None:
    provider, secret, headers, body = case
    (name,) = [n for n in headers if "signature" in n or "token" in n]
    forgeries: list[tuple[list[str], dict[str, str], bytes]] = [
        ([], headers, body),
        (["another secret"], headers, body),
        ([secret + "."], headers, body),
        ([secret], {}, body),
        ([secret], {**headers, name: ""}, body),
        ([secret], {**headers, name: headers[name][:-2]}, body),
        ([secret], {**headers, name: headers[name][:-2] + "00"}, body),
        ([secret], {**headers, name: headers[name] + "0"}, body),
        ([secret], {**headers, name: "\udcff\u20ac"}, body),
    ]
    if name != "x-gitlab-token":
        forgeries.append(([secret], headers, body + b" "))
    for secrets, changed, bytes_ in forgeries:
        with pytest.raises(Forged):
            verify(provider, secrets, changed, bytes_, THEN)


def test_a_signature_of_another_provider_or_of_an_older_kind_is_none() -> None:
    sha1 = hmac.new(EVERYBODY.encode(), b"Hello, World!", hashlib.sha1).hexdigest()
    for provider, headers in [
        ("github", {"x-hub-signature": GITHUB}),
        ("github", {"x-hub-signature-256": f"sha1={sha1}"}),
        ("github", {"x-hub-signature-256": HEX}),
        ("bitbucket", {"x-hub-signature-256": GITHUB}),
        ("gitea", {"x-forgejo-signature": HEX}),
    ]:
        with pytest.raises(Forged):
            verify(provider, [EVERYBODY], headers, b"Hello, World!", THEN)  # type: ignore[arg-type]


@pytest.mark.parametrize("seconds", [-301, 301, 86400.0])
def test_what_was_signed_at_another_time_is_refused(seconds: float) -> None:
    with pytest.raises(Forged, match="five minutes"):
        verify("gitlab", [STANDARD_SECRET], STANDARD, STANDARD_BODY, THEN + seconds)


@pytest.mark.parametrize("change", [{"webhook-timestamp": "1614265331"}, {"webhook-id": "msg_x"}])
def test_the_time_and_the_id_are_signed_too(change: dict[str, str]) -> None:
    with pytest.raises(Forged):
        verify("gitlab", [STANDARD_SECRET], {**STANDARD, **change}, STANDARD_BODY, THEN)


def test_what_signs_is_not_taken_as_a_token() -> None:
    headers = {"x-gitlab-token": STANDARD_SECRET}
    with pytest.raises(Forged):
        verify("gitlab", [STANDARD_SECRET], headers, b"{}", THEN)


def test_one_of_several_signatures_is_enough() -> None:
    signatures = f"v1,AAAA v1a,BBBB {STANDARD['webhook-signature']}"
    headers = {**STANDARD, "webhook-signature": signatures}
    assert verify("gitlab", [STANDARD_SECRET], headers, STANDARD_BODY, THEN)


def test_deliveries_are_told_apart_by_id_and_by_content() -> None:
    def name(body: bytes, id_: str) -> str:
        signature = hmac.new(EVERYBODY.encode(), body, hashlib.sha256).hexdigest()
        headers = {"x-gitea-signature": signature, "x-gitea-delivery": id_}
        return verify("gitea", [EVERYBODY], headers, body, THEN)

    assert name(b"a", "1") == name(b"a", "1")
    assert len({name(b"a", "1"), name(b"a", "2"), name(b"b", "1"), name(b"1\0a", "")}) == 4


def test_a_header_that_is_sent_twice_counts_as_absent() -> None:
    raw = [(b"X-Hub-Signature-256", GITHUB.encode()), (b"x-hub-signature-256", b"sha256=00")]
    assert single([*raw, (b"Content-Type", b" text/plain ")]) == {"content-type": "text/plain"}


TEXTS = st.text(max_size=80)
NAMES = st.sampled_from([n for _, _, headers, _ in GOOD.values() for n in headers])


@settings(max_examples=300)
@given(
    st.sampled_from(["github", "gitlab", "gitea", "forgejo", "bitbucket"]),
    st.lists(st.one_of(TEXTS, st.just(STANDARD_SECRET)), max_size=2),
    st.dictionaries(NAMES, st.one_of(TEXTS, st.sampled_from([*STANDARD.values(), GITHUB]))),
    st.binary(max_size=200),
)
def test_whatever_comes_is_refused_and_breaks_nothing(
    provider: Provider, secrets: list[str], headers: dict[str, str], body: bytes
) -> None:
    # Nobody guesses a token of a text that hypothesis made up for the other side.
    secrets = [secret for secret in secrets if secret != headers.get("x-gitlab-token")]
    with pytest.raises(Forged):
        verify(provider, secrets, headers, body, THEN)
