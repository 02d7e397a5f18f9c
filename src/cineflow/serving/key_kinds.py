"""What kind of key a certificate has, and whether gRPC's clients take it from a server.

gRPC brings its own TLS library (BoringSSL), which offers signatures by RSA, P-256 and P-384 only. A
server with another key starts, and every client ends its handshake ("no suitable signature
algorithm"). Certificates of clients and of the CA are not concerned: the server takes more kinds.

Python's `ssl` does not say what kind a key is, so this reads it from the certificate (X.509, DER).
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from pathlib import Path

_RSA, _CURVE = "2a864886f70d010101", "2a8648ce3d0201"
#: Object identifiers of keys and of curves, as they stand in a certificate.
_NAMES = {
    _RSA: "RSA",
    "2a864886f70d01010a": "RSA-PSS",
    "2b6570": "Ed25519",
    "2b6571": "Ed448",
    "2a8648ce3d030107": "P-256",
    "2b81040022": "P-384",
    "2b81040023": "P-521",
}
TAKEN = ("RSA", "P-256", "P-384")

_VERSION = 0xA0  # tag of the one field that may be left out


def key_kind(certificate: Path) -> str:
    """The kind of a certificate's key ("P-256"), or its identifier in hexadecimal.

    Args:
        certificate: PEM; its first certificate is read.

    Raises:
        ValueError: It is not a certificate.
    """
    text = certificate.read_text(encoding="ascii", errors="replace")
    begin, end = "-----BEGIN CERTIFICATE-----", "-----END CERTIFICATE-----"
    body = text[text.index(begin) : text.index(end) + len(end)]
    try:
        ((_, whole),) = _parts(ssl.PEM_cert_to_DER_cert(body))
        fields = [part for part in _parts(next(_parts(whole))[1]) if part[0] != _VERSION]
        # serial number, signature, issuer, validity, subject, and then the key
        algorithm = [content.hex() for _, content in _parts(next(_parts(fields[5][1]))[1])]
    except (IndexError, StopIteration) as error:
        raise ValueError(f"a certificate that ends within: {certificate}") from error
    found = algorithm[1] if algorithm[0] == _CURVE and len(algorithm) > 1 else algorithm[0]
    return _NAMES.get(found, found)


def _parts(content: bytes) -> Iterator[tuple[int, bytes]]:
    """Tag and content of each part of a DER sequence."""
    at = 0
    while at < len(content):
        tag, length = content[at], content[at + 1]
        at += 2
        if length & 0x80:
            more = length & 0x7F
            length = int.from_bytes(content[at : at + more], "big")
            at += more
        yield tag, content[at : at + length]
        at += length
