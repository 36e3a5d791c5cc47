"""Whom to trust: the certificates of a file, or the one certificate of a fingerprint."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ssl
from urllib.parse import urlsplit

from steersman.client.contexts import BadContext, Context
from steersman.client.errors import DaemonUnreachable, NotTrusted

PORT = 443
PATIENCE = 10.0


async def trust_of(context: Context) -> ssl.SSLContext:
    """Return the TLS that a context speaks; raises BadContext, NotTrusted, DaemonUnreachable."""
    if context.fingerprint is not None:
        return await _pinned(context)
    try:
        made = ssl.create_default_context(cafile=context.ca)
    except (OSError, ssl.SSLError) as error:
        raise BadContext(
            f"context {context.name}: the certificates in {context.ca} cannot be read: {error};"
            " it is a PEM file"
        ) from error
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    return made


async def _pinned(context: Context) -> ssl.SSLContext:
    """Return a context that trusts just the certificate of this fingerprint.

    It is asked for first, on a connection that carries nothing; the one that carries the token
    must then show that it has the key to it.
    """
    certificate = await _shown(context)
    found = "sha256:" + hashlib.sha256(certificate).hexdigest()
    if not hmac.compare_digest(found, context.fingerprint or ""):
        raise NotTrusted(
            f"{context.server} shows the certificate {found}, and context {context.name} trusts"
            f" {context.fingerprint}; this may be somebody in between. If it was really made anew,"
            f" run `steer config set-context {context.name} --fingerprint {found}`"
        )
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    made.check_hostname = False
    # Its issuer says nothing: this very certificate is what is trusted.
    made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    made.load_verify_locations(cadata=ssl.DER_cert_to_PEM_cert(certificate))
    return made


async def _shown(context: Context) -> bytes:
    parts = urlsplit(context.server)
    anybody = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    anybody.check_hostname = False
    anybody.verify_mode = ssl.CERT_NONE
    host, port = parts.hostname or "", parts.port or PORT
    try:
        async with asyncio.timeout(PATIENCE):
            _, writer = await asyncio.open_connection(host, port, ssl=anybody)
    except (OSError, TimeoutError) as error:
        raise DaemonUnreachable(context.server, str(error) or "no answer") from error
    try:
        shown = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
        return bytes(shown or b"")
    finally:
        writer.transport.abort()
