"""A merchant's own server, whose certificate is signed by nobody public: `ca_file`, from the file to the call."""

from __future__ import annotations

import http.server
import ssl
import threading
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from connectors.errors import Unavailable
from connectors.http import Http
from worker import accounts as speaking
from worker import runtime
from worker.config import Config, ConfigError, load
from worker.reloading import InForce

PEM = serialization.Encoding.PEM
ACCOUNT = """
[shop.a]
api_key = "0123456789abcdef"
[shop.a.account.b]
platform = "stripe"
api_key = "k"
settings = { tax_rates = { "20" = "txr_1" } }
"""


class Authority:
    """A certificate authority of one's own, and what it signs."""

    def __init__(self, name: str) -> None:
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        self.certificate = self._signed(self.name, self.key, x509.BasicConstraints(ca=True, path_length=0))

    def server(self, folder: Path) -> Path:
        """Certificate and key of a server called localhost, in one file."""
        key = ec.generate_private_key(ec.SECP256R1())
        whose = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
        signed = self._signed(whose, key, x509.SubjectAlternativeName([x509.DNSName("localhost")]))
        bare = key.private_bytes(PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        file = folder / "server.pem"
        file.write_bytes(signed + bare)
        return file

    def _signed(self, whose: x509.Name, key: ec.EllipticCurvePrivateKey, says: x509.ExtensionType) -> bytes:
        now = datetime.now(UTC)
        built = x509.CertificateBuilder(
            self.name, whose, key.public_key(), x509.random_serial_number(), now, now + timedelta(days=1)
        ).add_extension(says, critical=isinstance(says, x509.BasicConstraints))
        return built.sign(self.key, hashes.SHA256()).public_bytes(PEM)


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"{}")

    def log_message(self, format: str, *args: Any) -> None:
        """Nothing."""


@pytest.fixture
def ours(tmp_path: Path) -> Path:
    file = tmp_path / "ours.pem"
    file.write_bytes(Authority("Engraver's own").certificate)
    return file


@pytest.fixture
def server(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """Its address, and the file of the authority that signed it."""
    authority = Authority("Engraver's own")
    file = tmp_path / "authority.pem"
    file.write_bytes(authority.certificate)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority.server(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as listening:
        listening.socket = context.wrap_socket(listening.socket, server_side=True)
        thread = threading.Thread(target=listening.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True)
        thread.start()
        yield f"https://localhost:{listening.server_port}/", file
        listening.shutdown()
        thread.join(5)


def read(folder: Path, text: str) -> Config:
    file = folder / "billhook.toml"
    file.write_text(text)
    return load(file, {})


def test_a_server_signed_by_the_merchants_own_authority_is_spoken_to(server: tuple[str, Path]) -> None:
    url, authority = server
    assert Http(5, ca_file=authority).send("GET", url, unsafe=False).status == 200
    with pytest.raises(Unavailable, match="nothing was sent"):
        Http(5).send("GET", url, unsafe=False)


def test_another_authority_of_the_same_name_is_not_believed(server: tuple[str, Path], ours: Path) -> None:
    with pytest.raises(Unavailable, match="nothing was sent"):
        Http(5, ca_file=ours).send("POST", server[0], unsafe=True)


def test_a_file_that_has_gone_is_surely_not_sent(server: tuple[str, Path], tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="nothing was sent"):
        Http(5, ca_file=tmp_path / "gone.pem").send("POST", server[0], unsafe=True)


def test_the_accounts_own_authority_reaches_its_calls(
    server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    url, authority = server
    config = read(tmp_path, f'{ACCOUNT}ca_file = "{authority.name}"\nbase_url = "{url}"\n')
    version = InForce(config, "")
    monkeypatch.setattr(runtime, "in_force", lambda: version)
    assert speaking.platform_of("a", "b").ask("/").status == 200


def test_a_relative_path_begins_where_the_configuration_lies(ours: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    elsewhere = ours.parent / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    (account,) = read(ours.parent, f'{ACCOUNT}ca_file = "ours.pem"\n').accounts()
    assert account.account.ca_file == ours


@pytest.mark.parametrize("content", [None, b"", b"no certificate"], ids=["no file", "empty", "no PEM"])
def test_a_file_without_certificates_is_said_before_anything_starts(tmp_path: Path, content: bytes | None) -> None:
    if content is not None:
        (tmp_path / "authority.pem").write_bytes(content)
    with pytest.raises(ConfigError) as caught:
        read(tmp_path, f'{ACCOUNT}ca_file = "authority.pem"\n')
    assert "in PEM" in dict(caught.value.problems)["shop.a.account.b.ca_file"]
