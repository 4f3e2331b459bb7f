"""Google Drive's pages on loopback: a proxy that answers for drive.google.com by a certificate of its own.

The library under test has Drive's address in its code. It honours HTTPS_PROXY and REQUESTS_CA_BUNDLE, as everything
that is built on requests does, so all of it runs here, pages, redirects and resuming, and nothing is replaced.
"""

from __future__ import annotations

import datetime
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from troublesome_server import serving

HOSTS = ("drive.google.com", "drive.usercontent.google.com", "docs.google.com")
WARNING = (  # in one line, as Drive's own
    '<html><body><form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    '<input type="hidden" name="id" value="{id}"><input type="hidden" name="export" value="download">'
    '<input type="hidden" name="confirm" value="t"></form></body></html>'
)
QUOTA = """<html><body><p class="uc-error-subcaption">Too many users have viewed or downloaded this file recently.</p>
</body></html>"""


class Drive(ThreadingHTTPServer):
    """Files by id, and folders by id: (id, name) of what is in them."""

    daemon_threads = True

    def __init__(self, certificate: Path) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate)
        self.files: dict[str, bytes] = {}
        self.folders: dict[str, list[tuple[str, str]]] = {}
        self.over_quota: set[str] = set()
        self.cuts: list[int] = []  # bytes after which the next files are cut
        self.ranges: list[str | None] = []  # what was asked for of files
        self.listed = 0


class Handler(BaseHTTPRequestHandler):
    server: Drive
    protocol_version = "HTTP/1.1"

    def do_CONNECT(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.connection = self.server.tls.wrap_socket(self.connection, server_side=True)
        self.rfile, self.wfile = self.connection.makefile("rb"), self.connection.makefile("wb", 0)
        self.close_connection = False
        while not self.close_connection:
            self.handle_one_request()

    def do_GET(self) -> None:
        parts = urlsplit(self.path)
        id = parse_qs(parts.query).get("id", [""])[0]
        if parts.path == "/embeddedfolderview" and id in self.server.folders:
            self.server.listed += 1
            links = (
                f'<a href="https://drive.google.com/drive/folders/{child}">{name}</a>'
                if child in self.server.folders
                else f'<a href="https://drive.google.com/file/d/{child}/view?usp=drive_web">{name}</a>'
                for child, name in self.server.folders[id]
            )
            names = {child: name for children in self.server.folders.values() for child, name in children}
            title = names.get(id, "all")
            self._page(f"<html><head><title>{title}</title></head><body>{''.join(links)}</body></html>")
        elif id in self.server.over_quota:
            self._page(QUOTA)
        elif id not in self.server.files:
            self._page("<html><title>Google Drive: Sign-in</title></html>", 404)
        elif parts.path == "/uc":
            self._page(WARNING.format(id=id))
        else:
            self._file(self.server.files[id])

    def _page(self, text: str, status: int = 200) -> None:
        self.send_response(status)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def _file(self, content: bytes) -> None:
        asked = self.headers.get("Range")
        self.server.ranges.append(asked)
        start = int(asked.removeprefix("bytes=").removesuffix("-")) if asked else 0
        self.send_response(206 if asked else 200)
        if asked:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.send_header("Content-Type", "application/octet-stream")
        self.send_header("Content-Disposition", 'attachment; filename="a.zip"')
        self.send_header("ETag", '"one"')
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        self.wfile.write(content[start : start + self.server.cuts.pop(0)] if self.server.cuts else content[start:])
        self.close_connection = True

    def log_message(self, *parts: object) -> None:
        pass


def certificate(path: Path) -> Path:
    """Write a key, and a certificate by itself for Drive's hosts, into one file."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, HOSTS[0])])
    today = datetime.datetime.now(datetime.UTC)
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(today - datetime.timedelta(days=1))
        .not_valid_after(today + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host) for host in HOSTS]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoding = serialization.Encoding.PEM
    private = key.private_bytes(encoding, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    path.write_bytes(private + signed.public_bytes(encoding))
    return path


@contextmanager
def serve_drive(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Drive]:
    """Be Google Drive for this process while the block runs; `folder` takes the certificate."""
    trusted = certificate(folder / "drive.pem")
    with Drive(trusted) as server:
        for name in ("no_proxy", "NO_PROXY", "https_proxy", "CURL_CA_BUNDLE"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_port}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(trusted))
        with serving(server):
            yield server
