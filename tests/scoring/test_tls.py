"""A judge behind HTTPS whose certificate a private authority has signed."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
from collections.abc import Iterator
from pathlib import Path

import openai
import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from argilla_admap.errors import JudgeRefused
from argilla_admap.scoring.run import score
from tests.doubles.batch_server import Batches
from tests.doubles.served import served
from tests.scoring.makers import options, records, stream


def _signed(name: str, issuer: str, key: ec.EllipticCurvePrivateKey, by: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    now = dt.datetime.now(dt.timezone.utc)
    subject, signer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, issuer))
    own = name == issuer
    made = x509.CertificateBuilder(signer, subject, key.public_key(), x509.random_serial_number())
    made = made.not_valid_before(now - dt.timedelta(hours=1)).not_valid_after(now + dt.timedelta(hours=1))
    made = made.add_extension(x509.BasicConstraints(ca=own, path_length=None), critical=True)
    made = made.add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    made = made.add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(by.public_key()), critical=False)
    if own:
        usage = dict.fromkeys(
            ("content_commitment", "key_encipherment", "data_encipherment", "key_agreement", "encipher_only", "decipher_only"),
            False,
        )
        made = made.add_extension(
            x509.KeyUsage(digital_signature=True, key_cert_sign=True, crl_sign=True, **usage), critical=True
        )
    else:
        address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
        made = made.add_extension(address, critical=False)
    return made.sign(by, hashes.SHA256())


@pytest.fixture(scope="module")
def authority(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the authority's certificate, and the server's with its key."""
    folder = tmp_path_factory.mktemp("tls")
    root, leaf = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    pem = serialization.Encoding.PEM
    (folder / "ca.pem").write_bytes(_signed("our own", "our own", root, root).public_bytes(pem))
    key = leaf.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    (folder / "server.pem").write_bytes(key + _signed("judge", "our own", leaf, root).public_bytes(pem))
    return folder


@pytest.fixture
def https(authority: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    monkeypatch.setenv("OPENAI_API_KEY", "k")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "server.pem")
    with served(Batches().app, context) as url:
        yield f"{url}/v1"


def test_the_authority_of_the_environment_is_believed(
    https: str, authority: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(authority / "ca.pem"))
    assert score(stream(records(20)), options(https, tmp_path)).summary["scored"] == 40


def test_a_client_with_certificates_of_its_own_is_used_as_it_is(https: str, authority: Path, tmp_path: Path) -> None:
    context = ssl.create_default_context(cafile=authority / "ca.pem")
    client = openai.OpenAI(base_url=https, http_client=openai.DefaultHttpxClient(verify=context))
    assert score(stream(records(20)), options(https, tmp_path), client=client).summary["scored"] == 40


def test_an_authority_that_nobody_knows_is_said(https: str, tmp_path: Path) -> None:
    with pytest.raises(JudgeRefused, match=r"certificate is not trusted .*SSL_CERT_FILE"):
        score(stream(records(20)), options(https, tmp_path))
