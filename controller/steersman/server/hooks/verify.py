"""Whether a delivery comes from who knows the secret: pure functions over its raw bytes.

Each provider's own documentation is the source: GitHub "Validating webhook deliveries", GitLab
"Webhooks" (signing tokens follow the Standard Webhooks specification), Gitea and Forgejo
"Webhooks", Bitbucket Cloud "Manage webhooks".
"""

import base64
import binascii
import hashlib
import hmac
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal

from steersman.api.errors import SteersmanError

Provider = Literal["github", "gitlab", "gitea", "forgejo", "bitbucket"]

TOLERANCE = 300.0
"""Seconds by which the two clocks may differ where the time of sending is signed."""

_STANDARD = "whsec_"
_MOST_SIGNATURES = 8
_TIMESTAMP = re.compile(r"[0-9]{1,12}")
# The header with the signature, what stands before its hex digits, and the header with the id.
_HEX: Mapping[str, tuple[str, str, str]] = {
    "github": ("x-hub-signature-256", "sha256=", "x-github-delivery"),
    "bitbucket": ("x-hub-signature", "sha256=", "x-request-uuid"),
    "gitea": ("x-gitea-signature", "", "x-gitea-delivery"),
    "forgejo": ("x-forgejo-signature", "", "x-forgejo-delivery"),
}


class Forged(SteersmanError):
    """Nothing proves that a delivery comes from its provider."""

    def __init__(self, why: str) -> None:
        super().__init__(f"{why}; compare the secret there with the Secret that the hook names")


def single(raw: Iterable[tuple[bytes, bytes]]) -> dict[str, str]:
    """Return headers by their lower-case names, without those that were sent twice."""
    found: dict[str, str] = {}
    twice: set[str] = set()
    for name, value in raw:
        key = name.decode("latin-1").lower()
        if key in found:
            twice.add(key)
        found[key] = value.decode("latin-1").strip()
    return {key: value for key, value in found.items() if key not in twice}


def verify(
    provider: Provider,
    secrets: Sequence[str],
    headers: Mapping[str, str],
    body: bytes,
    now: float,
) -> str:
    """Return a digest that names this delivery and no other; raises Forged.

    `secrets` are all those that are good at this time, `headers` have lower-case names, `now` is
    in seconds since 1970.
    """
    if provider == "gitlab":
        return _verify_gitlab(secrets, headers, body, now)
    name, prefix, id_name = _HEX[provider]
    given = headers.get(name)
    if given is None:
        raise Forged(f"there is no {name} header")
    made = [prefix + hmac.new(_bytes(s), body, hashlib.sha256).hexdigest() for s in secrets]
    if not _is_any(given, made):
        raise Forged("the signature fits none of its secrets")
    return _named(headers.get(id_name, ""), body)


def _verify_gitlab(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
) -> str:
    """Verify a signing token where there is one, and the older plain token elsewhere.

    A secret is for one of the two: what signs is never sent, so it is never taken when sent.
    """
    signed = [secret for secret in secrets if secret.startswith(_STANDARD)]
    if signed and "webhook-signature" in headers:
        return _verify_standard(signed, headers, body, now)
    given = headers.get("x-gitlab-token")
    if given is None:
        raise Forged("there is neither a webhook-signature nor a x-gitlab-token header")
    plain = [secret for secret in secrets if not secret.startswith(_STANDARD)]
    # Of digests, so that not even the length is told by how long it takes.
    if not _is_any(_sha256(_bytes(given)), [_sha256(_bytes(secret)) for secret in plain]):
        raise Forged("the token is none of its secrets")
    id_ = headers.get("idempotency-key", headers.get("x-gitlab-event-uuid", ""))
    return _named(id_, body)


def _verify_standard(
    secrets: Sequence[str], headers: Mapping[str, str], body: bytes, now: float
) -> str:
    id_, sent = headers.get("webhook-id", ""), headers.get("webhook-timestamp", "")
    if not id_ or not _TIMESTAMP.fullmatch(sent):
        raise Forged("webhook-id or webhook-timestamp is not as the specification has it")
    if abs(now - int(sent)) > TOLERANCE:
        raise Forged("it was signed more than five minutes ago, or this clock is wrong")
    content = f"{id_}.{sent}.".encode("latin-1", "replace") + body
    made = [
        "v1," + base64.b64encode(hmac.new(key, content, hashlib.sha256).digest()).decode()
        for key in map(_standard_key, secrets)
        if key
    ]
    given = headers["webhook-signature"].split(" ")[:_MOST_SIGNATURES]
    if not any([_is_any(each, made) for each in given]):  # noqa: C419 - each takes its time
        raise Forged("the signature fits none of its secrets")
    return _named(id_, content)


def _standard_key(secret: str) -> bytes:
    try:
        return base64.b64decode(secret.removeprefix(_STANDARD), validate=True)
    except (binascii.Error, ValueError):
        return b""


def _is_any(given: str, made: Sequence[str]) -> bool:
    """Return whether `given` is one of `made`, in a time that tells nothing of them."""
    equal = [hmac.compare_digest(_bytes(given), each.encode()) for each in made]
    return any(equal)


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "surrogatepass")


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _named(id_: str, content: bytes) -> str:
    """Name a delivery by its id and its content: most providers do not sign the id."""
    return _sha256(id_.encode("latin-1", "replace") + b"\0" + content)[:32]
