"""A worker: says what it was told by its environment, and waits for TERM."""

import hashlib
import os
import signal

secret = os.environ.get("SECRET_KEY", "").encode()
print(f"greeting={os.environ.get('GREETING', '')}")
print(f"secret={hashlib.sha256(secret).hexdigest()}", flush=True)
signal.sigwait([signal.SIGTERM])
print("worker ends", flush=True)
