"""The hook that git runs for each push: it tells the daemon what was pushed, and waits.

It is copied to a folder of its own and run by `python -I -S`, so it imports nothing of ours. The
daemon gave git a socket, whose number is in STEERSMAN_PUSH: nobody else can have one.
"""

import json
import os
import socket
import sys

MOST = 1 << 20


def main(hook: str) -> int:
    """Return what git is to make of it: 0 lets the refs move."""
    daemon = socket.socket(fileno=int(os.environ["STEERSMAN_PUSH"]))
    lines = sys.stdin.buffer.read(MOST + 1)
    if len(lines) > MOST:
        sys.stderr.write("too many refs in one push; push them in several\n")
        return 1
    commands = [line.split(" ", 2) for line in lines.decode("utf-8", "replace").splitlines()]
    quarantine = os.environ.get("GIT_QUARANTINE_PATH", "")
    told = {"hook": hook, "commands": commands, "quarantine": quarantine}
    daemon.sendall(json.dumps(told).encode() + b"\n")
    with daemon.makefile("rb") as answers:
        for answer in answers:
            if answer[:1] == b"=":
                return int(answer[1:])
            sys.stderr.buffer.write(answer[1:])
            sys.stderr.buffer.flush()
    sys.stderr.write("the daemon is gone; push again when it is back\n")
    return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
