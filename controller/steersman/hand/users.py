"""The unprivileged users that apps run as."""

from __future__ import annotations

import os
import pwd

from .place import Place, must
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List

PREFIX = "app-"


def seen(place: Place) -> Dict[str, List[object]]:
    """Return {name: [uid, gid, home]} of the users this product made."""
    if place.scope == "user":
        return {}
    return {
        user.pw_name: [user.pw_uid, user.pw_gid, user.pw_dir]
        for user in pwd.getpwall()
        if user.pw_name.startswith(PREFIX)
    }


def ensure(name: str, home: str) -> None:
    _ours(name)
    try:
        pwd.getpwnam(name)
    except KeyError:
        shell = "/usr/sbin/nologin" if os.path.exists("/usr/sbin/nologin") else "/bin/false"
        options = ["--system", "--user-group", "--no-create-home", "--home-dir", home]
        must(["useradd", *options, "--shell", shell, "--", name])


def remove(place: Place, name: str) -> None:
    _ours(name)
    try:
        home = pwd.getpwnam(name).pw_dir
    except KeyError:
        return
    if not home.startswith(place.root + os.sep):
        raise Refused(
            "bad-request", "user %s lives in %s: steersman did not make it" % (name, home)
        )
    must(["userdel", "--", name])


def _ours(name: str) -> None:
    if not name.startswith(PREFIX) or "/" in name:
        raise Refused("bad-request", "%r is not a user of steersman's" % name)
