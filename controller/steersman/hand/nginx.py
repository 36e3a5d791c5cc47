"""nginx as the proxy: a site moves into place only after `nginx -t` passed on a copy."""

from __future__ import annotations

import os
import re
import threading
import time

from . import files
from .place import Place, must, run, tail
from .wire import Refused

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Dict, List, Set

_COMMENT = re.compile(r"(?:^|(?<=[\s;{}]))#.*", re.MULTILINE)
_SERVER_NAME = re.compile(r"(?:^|[\s;{}])server_name\s+([^;]+);")
RELOADING = 15.0
LOGS = "/var/log/nginx"
LOGROTATE = "/usr/sbin/logrotate"
LARGE = 64 << 20
# A site's mode says how far it has come: nginx, which reads as root, may not have read it yet.
UNREAD, READ = 0o600, 0o644
_INCLUDE_FOLDERS = ("conf.d", "sites-enabled")


class Nginx:
    """The site files named `steersman-*.conf` in its include folder."""

    unit = "nginx.service"

    def __init__(self, place: Place) -> None:
        self._sites = place.sites
        self._etc = os.path.dirname(place.sites)
        self._one_at_a_time = threading.Lock()
        self._names: Dict[str, object] = {}

    def foreign_names(self) -> Dict[str, str]:
        """Return {server name: file} of the sites that are not ours."""
        names: Dict[str, str] = {}
        for folder in _INCLUDE_FOLDERS:
            where = os.path.join(self._etc, folder)
            for entry in files.entries(where):
                path = os.path.join(where, entry)
                if not entry.startswith("steersman-") and os.path.isfile(path):
                    for name in self._names_in(path):
                        names[name] = path
        names.pop("_", None)
        return names

    def folders(self) -> List[str]:
        """Return where sites come and go."""
        return [os.path.join(self._etc, folder) for folder in _INCLUDE_FOLDERS]

    def _names_in(self, path: str) -> List[str]:
        status = os.stat(path)
        signature = (status.st_ino, status.st_mtime_ns, status.st_size)
        known = self._names.get(path)
        if known is None or known[0] != signature:  # type: ignore[index]
            with open(path, encoding="utf-8", errors="replace") as file:
                text = _COMMENT.sub("", file.read())
            groups = _SERVER_NAME.findall(text)
            found = [name.strip("\"'") for group in groups for name in group.split()]
            known = self._names[path] = (signature, found)
        return known[1]  # type: ignore[index,no-any-return]

    def start(self) -> None:
        must(["systemctl", "start", self.unit])

    def write_site(self, path: str, data: bytes) -> None:
        """Test `data` in a copy of the configuration, put it in place, reload.

        Whoever is cut off before nginx has read it leaves a mode that no plan takes as done.
        """
        with self._one_at_a_time:
            self._test(os.path.basename(path), data)
            files.write_file(path, data, UNREAD)
            self._reload()
            files.set_mode(path, READ)

    def remove_site(self, path: str) -> None:
        """Have nginx forget the site, and remove what it left; the file goes last of all."""
        with self._one_at_a_time:
            files.write_file(path, b"", UNREAD)
            if _master():
                self._reload()
            app = os.path.basename(path)[: -len(".conf")]
            for name in files.entries(LOGS):
                if name.startswith(app + ".access.log"):
                    files.remove(os.path.join(LOGS, name))
            files.remove(path)

    def _test(self, name: str, data: bytes) -> None:
        import shutil
        import tempfile

        with tempfile.TemporaryDirectory(prefix=".steersman-test-", dir="/run") as scratch:
            copy = os.path.join(scratch, "nginx")
            shutil.copytree(self._etc, copy, symlinks=False, ignore_dangling_symlinks=True)
            folder = os.path.join(copy, os.path.basename(self._sites))
            with open(os.path.join(folder, name), "wb") as file:
                file.write(data)
            main = os.path.join(copy, "nginx.conf")
            with open(main, encoding="utf-8") as file:
                text = file.read().replace(self._etc + "/", copy + "/")
            with open(main, "w", encoding="utf-8") as file:
                file.write(text)
            code, out = run(["nginx", "-t", "-q", "-c", main], timeout=30)
            if code != 0:
                why = tail(out.replace(copy, self._etc), 3)
                raise Refused("proxy-refused", "nginx -t refused the site %s: %s" % (name, why))

    def _reload(self) -> None:
        """Make nginx serve what its files say, and return when it does."""
        master = _master()
        if not master:
            self.start()
            return
        before = _workers(master)
        must(["systemctl", "reload", "nginx.service"])
        # The reload has only been asked for: until the old workers stop listening, they answer.
        deadline = time.monotonic() + RELOADING
        while True:
            now = _workers(master)
            if now and not now & before:
                return
            if time.monotonic() > deadline:
                why = "nginx did not take its new configuration within %g s" % RELOADING
                raise Refused("proxy-refused", "%s; `journalctl -u nginx` tells more" % why)
            time.sleep(0.02)


def keep_small(log: str) -> None:
    """Move an access log of ours away once it is large, where nobody else does: Debian's nginx
    brings rules for logrotate, and no logrotate."""
    if os.path.dirname(log) != LOGS or os.path.exists(LOGROTATE):
        return
    moved = log + ".1"
    try:
        if os.stat(log).st_size < LARGE:
            return
        os.rename(log, moved)
    except FileNotFoundError:
        if not os.path.exists(moved):
            return
        # Whoever moved it was cut off: nginx still writes to where it is now.
    must(["nginx", "-s", "reopen"])


def _master() -> str:
    """Return the pid of nginx's master process, or "" if nginx does not run."""
    pid = must(["systemctl", "show", "--property=MainPID", "--value", "nginx.service"]).strip()
    return "" if pid == "0" else pid


def _workers(master: str) -> Set[str]:
    """Return the workers of the master process that accept connections, by pid."""
    found = set()
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open("/proc/%s/stat" % pid, encoding="utf-8", errors="replace") as file:
                # proc(5): the name may hold anything; after it come the state and the parent.
                parent = file.read().rpartition(")")[2].split()[1]
            if parent != master:
                continue
            with open("/proc/%s/cmdline" % pid, encoding="utf-8", errors="replace") as file:
                title = file.read().rstrip("\0 ")
        except OSError:
            continue  # it ended meanwhile
        if title == "nginx: worker process":
            found.add(pid)
    return found
