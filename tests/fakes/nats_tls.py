"""Certificates for one test: an authority, a server, a client."""

import datetime as dt
import ipaddress
import ssl
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


@dataclass(frozen=True)
class TlsFiles:
    """PEM files in one directory."""

    directory: Path

    def path(self, name: str) -> Path:
        return self.directory / name

    def server_text(self, *, verify: bool = True) -> str:
        """Return the server's `tls` block; `verify` asks clients for a certificate."""
        ca, cert, key = self.path("ca.pem"), self.path("server.pem"), self.path("server.key")
        return f'tls {{ cert_file: "{cert}", key_file: "{key}", ca_file: "{ca}", verify: {str(verify).lower()} }}'

    def context(self, *, with_certificate: bool = True) -> ssl.SSLContext:
        """Return a client's context that trusts this authority only."""
        context = ssl.create_default_context(cafile=str(self.path("ca.pem")))
        if with_certificate:
            context.load_cert_chain(self.path("client.pem"), self.path("client.key"))
        return context


def mint_tls(directory: Path, *names: str) -> TlsFiles:
    """Write ca.pem, server.pem, server.key, client.pem and client.key, good for a day and for these names."""
    names = names or ("localhost", "127.0.0.1")
    files = TlsFiles(directory)
    ca_key = ec.generate_private_key(ec.SECP256R1())
    ca_name = _name("test authority")
    _write(files, "ca", ca_key, _certificate(ca_name, ca_name, ca_key, ca_key, ()))
    for name in ("server", "client"):
        key = ec.generate_private_key(ec.SECP256R1())
        _write(files, name, key, _certificate(_name(name), ca_name, key, ca_key, names))
    return files


def _name(common: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common)])


def _certificate(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    signer: ec.EllipticCurvePrivateKey,
    names: tuple[str, ...],
) -> x509.Certificate:
    now = dt.datetime.now(dt.UTC)
    authority = not names
    usage = x509.KeyUsage(
        digital_signature=True,
        key_cert_sign=authority,
        crl_sign=authority,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(minutes=5))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.BasicConstraints(ca=authority, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(signer.public_key()), critical=False)
    )
    if names:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([_alternative(each) for each in names]), critical=False
        )
    return builder.sign(signer, hashes.SHA256())


def _alternative(name: str) -> x509.GeneralName:
    return x509.IPAddress(ipaddress.ip_address(name)) if name[0].isdigit() else x509.DNSName(name)


def _write(files: TlsFiles, name: str, key: ec.EllipticCurvePrivateKey, certificate: x509.Certificate) -> None:
    files.path(f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    files.path(f"{name}.key").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
