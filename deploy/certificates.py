"""Certificates for a local run: an authority of its own, and what it signs, kept beside the other secrets."""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from deploy.secrets import keep

CA = "ca"
AUTHORITY_DAYS = 3650
CERTIFICATE_DAYS = 397
RENEW_DAYS = 30
"""With fewer days left, a certificate is made anew."""

_Key = ec.EllipticCurvePrivateKey


def make(folder: Path, names: Iterable[str], *, now: datetime | None = None) -> None:
    """Have `ca.pem` there, and of each name (`item-svc`) a certificate `<name>.pem` with its `<name>.key`.

    A certificate counts for its name and for this machine: 127.0.0.1 and localhost. What is there and holds
    for a month stays as it is.
    """
    now = now or datetime.now(UTC)
    authority, signs = _authority(folder, now)
    for name in names:
        found = _read(folder, name)
        if found is None or not _holds(found[0], now) or not _is_signed_by(found[0], authority):
            key = ec.generate_private_key(ec.SECP256R1())
            _keep(folder, name, _certificate(name, key, authority, signs, now), key)


def _authority(folder: Path, now: datetime) -> tuple[x509.Certificate, _Key]:
    found = _read(folder, CA)
    if found is None or not _holds(found[0], now):
        key = ec.generate_private_key(ec.SECP256R1())
        _keep(folder, CA, _own_certificate(key, now), key)
        found = _read(folder, CA)
        assert found is not None  # noqa: S101  it has just been written
    return found


def _own_certificate(key: _Key, now: datetime) -> x509.Certificate:
    name = _named(f"Sagamart, local run of {now:%Y-%m-%d}")
    return (
        _begun(name, name, key, now, AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )


def _certificate(
    name: str, key: _Key, authority: x509.Certificate, signs: _Key, now: datetime
) -> x509.Certificate:
    alternatives = [x509.DNSName(name), x509.DNSName("localhost"), x509.IPAddress(ip_address("127.0.0.1"))]
    both_ends = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
    issuer = x509.AuthorityKeyIdentifier.from_issuer_public_key(signs.public_key())
    return (
        _begun(_named(name), authority.subject, key, now, CERTIFICATE_DAYS)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        .add_extension(x509.ExtendedKeyUsage(both_ends), critical=False)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(issuer, critical=False)
        .sign(signs, hashes.SHA256())
    )


def _begun(
    subject: x509.Name, issuer: x509.Name, key: _Key, now: datetime, days: int
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks differ
        .not_valid_after(now + timedelta(days=days))
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _holds(certificate: x509.Certificate, now: datetime) -> bool:
    return certificate.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)


def _is_signed_by(certificate: x509.Certificate, authority: x509.Certificate) -> bool:
    try:
        certificate.verify_directly_issued_by(authority)
    except Exception:  # whatever is wrong with it, it is not ours
        return False
    return True


def _read(folder: Path, name: str) -> tuple[x509.Certificate, _Key] | None:
    """A certificate with its key; None unless both are there and belong together."""
    try:
        certificate = x509.load_pem_x509_certificate((folder / f"{name}.pem").read_bytes())
        key = serialization.load_pem_private_key((folder / f"{name}.key").read_bytes(), password=None)
    except (OSError, ValueError, TypeError):
        return None
    if not isinstance(key, ec.EllipticCurvePrivateKey) or key.public_key() != certificate.public_key():
        return None
    return certificate, key


def _keep(folder: Path, name: str, certificate: x509.Certificate, key: _Key) -> None:
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    keep(folder, f"{name}.key", private.decode())
    keep(folder, f"{name}.pem", certificate.public_bytes(serialization.Encoding.PEM).decode())
