"""One sealed value: text that says which variable of which Secret it is for.

The form is `age:` and the base64 of an age file. age binds nothing but the content, so the content
names its place: a sealed value that is moved to another Secret or key does not open there.
"""

import base64
import json
from collections.abc import Iterable, Sequence

from steersman.sealing.age import NotOpened, PrivateKey, open_sealed, seal

PREFIX = "age:"
# Lengths are rounded up: age hides what is said, not how much of it.
_STEP = 64


def seal_value(secret: str, key: str, value: str, recipients: Iterable[str]) -> str:
    """Return `value` sealed for `key` of the Secret named `secret`; raises NotSealable."""
    data = json.dumps([secret, key, value]).encode()
    padded = data.ljust(-(-len(data) // _STEP) * _STEP)
    return PREFIX + base64.b64encode(seal(padded, recipients)).decode()


def open_value(secret: str, key: str, sealed: str, keys: Sequence[PrivateKey]) -> str:
    """Return the value that was sealed for `key` of `secret`; raises NotOpened."""
    try:
        data = base64.b64decode(sealed.removeprefix(PREFIX), validate=True)
    except ValueError:
        raise NotOpened("it is not `age:` and base64; seal the value again") from None
    place = json.loads(open_sealed(data, keys))
    if place[:2] != [secret, key]:
        raise NotOpened(
            f"it was sealed for {place[1]} of secret {place[0]}; a sealed value opens only"
            " where it was made for: seal it again here"
        )
    return str(place[2])
