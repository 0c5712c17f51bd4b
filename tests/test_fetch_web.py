from __future__ import annotations

import contextlib
import socket
import ssl
import subprocess
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import urllib3
from urllib3.exceptions import NameResolutionError, SSLError

from galviz.errors import FetchError
from galviz.fetch.web import ZENODO, Limits, Setback, Web
from tests.archive import open_archive


@pytest.mark.parametrize(
    "url",
    [
        "https://zenodo.org/api/records/1",
        "https://ZENODO.org:443/x",
        "https://files.zenodo.org/x?y=z#w",
        "https://zenodo.org\\@example.org/x",  # a path, for who connects as well as for who checks
    ],
)
def test_addresses_of_the_archive(url: str) -> None:
    parts = ZENODO.check(url)
    assert (parts.scheme, parts.auth) == ("https", None)
    assert str(parts.host).endswith("zenodo.org")


@pytest.mark.parametrize(
    "url",
    [
        "",
        "zenodo.org/x",
        "//zenodo.org/x",
        "http://zenodo.org/x",
        "ftp://zenodo.org/x",
        "file:///zenodo.org",
        "https://example.org/zenodo.org",
        "https://zenodo.org.example.org/x",
        "https://zenodo.org%2eexample.org/x",
        "https://notzenodo.org/x",
        "https://zenodo.org@example.org/x",
        "https://user:word@zenodo.org/x",
        "https://zenodo.org:8443/x",
        "https://zenodo.org./x",
        "https://127.0.0.1/x",
        "http://127.0.0.1:80/x",
        "https://[::1]/x",
        "https://[",
        "https://zenodo.org:port/x",
    ],
)
def test_addresses_elsewhere(url: str) -> None:
    with pytest.raises(FetchError, match="nothing is fetched from there"):
        ZENODO.check(url)


def test_a_server_of_a_test_takes_the_place_of_the_archive() -> None:
    web = Web("http://127.0.0.1:8000")
    web.check("http://127.0.0.1:8000/x")
    for url in (
        "https://zenodo.org/x",
        "http://127.0.0.1:8001/x",
        "https://127.0.0.1:8000/x",
        "http://localhost:8000/x",
    ):
        with pytest.raises(FetchError):
            web.check(url)


@pytest.mark.parametrize("root", ["http://zenodo.org", "http://example.org", "http://localhost:8000"])
def test_no_other_place_can_take_it(root: str) -> None:
    with pytest.raises(FetchError):
        Web(root).check(f"{root}/x")


@pytest.fixture
def guarded(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server that speaks TLS with a certificate of its own: its address and the certificate."""
    certificate, key = tmp_path / "certificate.pem", tmp_path / "key.pem"
    made = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes"]
    made += ["-days", "2", "-subj", "/CN=127.0.0.1", "-addext", "subjectAltName=IP:127.0.0.1"]
    try:
        subprocess.run([*made, "-keyout", str(key), "-out", str(certificate)], check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("openssl cannot make a certificate here")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with open_archive(context) as archive:
        yield archive.root, certificate


def test_a_certificate_is_looked_at(guarded: tuple[str, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    root, certificate = guarded
    monkeypatch.delenv("SSL_CERT_FILE", raising=False)
    with pytest.raises(FetchError, match="is not to be trusted"), Web(root).get(f"{root}/api/records/102", {}):
        pass
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    with Web(root).get(f"{root}/api/records/102", {}) as response:
        assert response.status == 200
        response.read()


def test_a_certificate_that_is_not_trusted_is_not_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise SSLError(ssl.SSLCertVerificationError(1, "certificate verify failed: self-signed certificate"))

    monkeypatch.setattr(urllib3.PoolManager, "request", refuse)
    with (
        pytest.raises(FetchError, match=r"The certificate of zenodo\.org is not to be trusted"),
        ZENODO.get("https://zenodo.org/x", {}),
    ):
        pass


def test_a_broken_handshake_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        raise SSLError(ssl.SSLEOFError(8, "EOF occurred in violation of protocol"))

    monkeypatch.setattr(urllib3.PoolManager, "request", refuse)
    with pytest.raises(Setback, match=r"zenodo\.org does not answer"), ZENODO.get("https://zenodo.org/x", {}):
        pass


@pytest.mark.parametrize("begun", [b"", b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\nX: "])
def test_an_answer_that_trickles_before_it_begins_is_cut_off(begun: bytes) -> None:
    done, drops = threading.Event(), 0

    def drip(listener: socket.socket) -> None:
        with listener.accept()[0] as connection, contextlib.suppress(OSError):
            nonlocal drops
            connection.sendall(begun)
            while drops < 500 and not done.wait(0.02):
                connection.sendall(b"x")
                drops += 1

    with socket.create_server(("127.0.0.1", 0)) as listener:
        server = threading.Thread(target=drip, args=(listener,))
        server.start()
        root = f"http://127.0.0.1:{listener.getsockname()[1]}"
        try:
            with (
                pytest.raises(Setback, match=r"127\.0\.0\.1 does not answer"),
                Web(root, Limits(read=0.3)).get(root, {}),
            ):
                pass
        finally:
            done.set()
            server.join()
    assert drops < 500


def test_a_machine_without_a_network(monkeypatch: pytest.MonkeyPatch) -> None:
    def unknown(host: str, *_: Any, **__: Any) -> None:
        raise socket.gaierror(-3, "Temporary failure in name resolution")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    with pytest.raises(Setback) as caught, ZENODO.get("https://zenodo.org/x", {}):
        pass
    assert isinstance(caught.value.__cause__, NameResolutionError)
    assert "name resolution" in str(caught.value)
    assert "object at" not in str(caught.value)
