"""Makes two certificate authorities, strangers to each other, and a server's certificate of the first.

usage: certificates.py DIRECTORY

Writes ca.pem and stranger.pem (the authorities), and cert.pem and key.pem of a server called `localhost`; and odd.pem, which
has the first authority behind a certificate that is none.
"""

import datetime
import pathlib
import sys

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

PEM = serialization.Encoding.PEM


def name(text):
    return x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, text)])


def certificate(subject, public_key, issuer, issuer_key, extensions):
    now = datetime.datetime.now(datetime.timezone.utc)
    builder = (
        x509.CertificateBuilder()
        .subject_name(name(subject))
        .issuer_name(name(issuer))
        .public_key(public_key)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public_key), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
    )
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical)
    return builder.sign(issuer_key, hashes.SHA256())


def authority(subject):
    key = ec.generate_private_key(ec.SECP256R1())
    is_authority = [(x509.BasicConstraints(ca=True, path_length=0), True)]
    return key, certificate(subject, key.public_key(), subject, key, is_authority)


ODD = b"-----BEGIN CERTIFICATE-----\nAAECAw==\n-----END CERTIFICATE-----\n"


def main():
    out = pathlib.Path(sys.argv[1])
    authority_key, ours = authority("ours")
    _, stranger = authority("a stranger")
    key = ec.generate_private_key(ec.SECP256R1())
    of_server = [
        (x509.SubjectAlternativeName([x509.DNSName("localhost")]), False),
        (x509.ExtendedKeyUsage([x509.ExtendedKeyUsageOID.SERVER_AUTH]), False),
    ]
    server = certificate("localhost", key.public_key(), "ours", authority_key, of_server)
    private = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    files = {
        "ca.pem": ours.public_bytes(PEM),
        "odd.pem": ODD + ours.public_bytes(PEM),
        "stranger.pem": stranger.public_bytes(PEM),
        "cert.pem": server.public_bytes(PEM),
        "key.pem": private,
    }
    for file, content in files.items():
        (out / file).write_bytes(content)


main()
