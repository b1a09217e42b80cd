"""What slow, half-sent and endless requests get from the real server, by its own sockets."""

from __future__ import annotations

import json
import logging
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import httpx
import psutil
import pytest
import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from airflow_mlops_provider.backends import probes
from airflow_mlops_provider.backends.model_server import client
from airflow_mlops_provider.exceptions import DeploymentError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.serving import listener
from airflow_mlops_provider.serving.app import create_app
from airflow_mlops_provider.serving.server import ModelServer
from tests.factories.serving import StandInFeatures

TOKEN = "sesame"


POST = b"POST /predict HTTP/1.1\r\nhost: x\r\nauthorization: Bearer sesame\r\n"


@pytest.fixture
def port(product: MLProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[int]:
    """A server in a thread, with short patience."""
    monkeypatch.setattr(listener.HeaderTimeoutProtocol, "seconds", 0.3)
    server = ModelServer(product, str(tmp_path), StandInFeatures, tmp_path / "log", poll=0.05)
    config = listener.uvicorn_config(create_app(server, token=TOKEN, body_seconds=0.3), "127.0.0.1", 0)
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        running = uvicorn.Server(config)
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        number: int = listening.getsockname()[1]
        client_ = httpx.Client(base_url=f"http://127.0.0.1:{number}", trust_env=False)
        while not running.started:
            thread.join(0.01)
        assert client_.get("/health").status_code == 200
        yield number
        running.should_exit = True
        thread.join(30)


def until_closed(connection: socket.socket) -> bytes:
    """Return all that still comes until the other side hangs up."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


@pytest.mark.parametrize(
    "sent",
    [
        b"",
        b"GET /health HT",
        b"GET /health HTTP/1.1\r\nhost: x\r\nx-slow: ",
        b"GET /health HTTP/1.1\r\nhost: x\r\n\r\nGET /health HTTP/1.1\r\nhost",
        b"GET /health HTTP/1.1\r\nhost: x\r\ncontent-length: 1000\r\n\r\nhalf",
    ],
    ids=["silence", "half a line", "half a header", "half a second request", "a body that nobody reads"],
)
def test_who_does_not_go_on_is_hung_up_on(port: int, sent: bytes) -> None:
    """A connection that stops before its request is whole ends, and others are answered meanwhile."""
    with socket.create_connection(("127.0.0.1", port), 20) as slow:
        slow.sendall(sent)
        assert httpx.get(f"http://127.0.0.1:{port}/health", trust_env=False).status_code == 200
        until_closed(slow)


def test_a_body_that_does_not_arrive_is_told_so(port: int) -> None:
    """Half a body gets a 408 and the connection's end; others are answered meanwhile."""
    with socket.create_connection(("127.0.0.1", port), 20) as slow:
        slow.sendall(POST + b"content-length: 100\r\n\r\n{")
        assert httpx.get(f"http://127.0.0.1:{port}/ready", trust_env=False).status_code == 503
        head, _, body = until_closed(slow).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 408 ")
    assert b"connection: close" in head.lower()
    assert json.loads(body) == {"detail": "the body did not arrive within 0.3 s"}


@pytest.mark.parametrize("endless", [b"a" * 4096, b"x-more: 1\r\n" * 400], ids=["one line", "many headers"])
def test_headers_without_end_are_cut(port: int, endless: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Headers beyond their bytes end the connection, however fast they come."""
    monkeypatch.setattr(listener.HeaderTimeoutProtocol, "seconds", 600)
    with socket.create_connection(("127.0.0.1", port), 20) as greedy:
        greedy.sendall(b"GET /health HTTP/1.1\r\n")
        with pytest.raises(OSError, match=r"reset|[Bb]roken"):
            deque((greedy.sendall(endless) for _ in range(100_000)), maxlen=0)


def test_a_large_body_hears_why(port: int) -> None:
    """A caller who sends too much is not cut off: it gets its 413."""
    answer = httpx.post(
        f"http://127.0.0.1:{port}/predict",
        content=b" " * (17 * 1024 * 1024),
        headers={"authorization": f"Bearer {TOKEN}"},
        trust_env=False,
        timeout=30,
    )
    assert answer.status_code in {413, 408}
    assert answer.json()["detail"]


def test_callers_mistakes_leave_no_line(port: int, caplog: pytest.LogCaptureFixture) -> None:
    """Who goes away, sends no HTTP, a wrong body, type or token is no line in the log, and the server goes on."""
    caplog.set_level(logging.WARNING)
    for sent in (b"\x16\x03\x01 no http\r\n\r\n", POST + b"content-length: 100\r\n\r\n{"):
        with socket.create_connection(("127.0.0.1", port), 20) as gone:
            gone.sendall(sent)
    headers = {"authorization": f"Bearer {TOKEN}"}
    with httpx.Client(base_url=f"http://127.0.0.1:{port}", trust_env=False) as well:
        for body, kind in ((b"\xff\xfe", "application/json"), (b"<a/>", "text/xml"), (b"", "multipart/form-data")):
            answer = well.post("/predict", content=body, headers={**headers, "content-type": kind})
            assert answer.status_code == 422
        assert well.post("/predict", content=b"{").status_code == 401
        assert well.get("/nothing").status_code == 404
        assert well.put("/predict").status_code == 405
    assert [record for record in caplog.records if record.name.startswith(("uvicorn", "airflow_mlops"))] == []


def test_who_asks_about_the_server_sends_the_token(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Our own client has the token from the environment; with another, the error says where it comes from."""
    url = f"http://127.0.0.1:{port}"
    monkeypatch.setenv(client.TOKEN_VARIABLE, TOKEN)
    state = client.server_state(url)
    assert state is not None
    assert state.product == "tiny_shop"
    monkeypatch.setenv(client.TOKEN_VARIABLE, "other")
    with pytest.raises(DeploymentError, match="wants another token; the password of the connection"):
        client.server_state(url)
    assert client.describe_listener(url) == "an HTTP server (uvicorn) with status 401"


def certify(folder: Path, serial: int) -> None:
    """Write a certificate of this machine, which is its own authority, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    made = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(key.public_key())
    made = made.serial_number(serial).not_valid_before(datetime(2020, 1, 1, tzinfo=UTC))
    made = made.not_valid_after(datetime.now(UTC) + timedelta(days=1))
    here = x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))])
    signed = made.add_extension(here, critical=False).sign(key, hashes.SHA256())
    plain = (Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    (folder / "key.pem").write_bytes(key.private_bytes(*plain))
    (folder / "certificate.pem").write_bytes(signed.public_bytes(Encoding.PEM))


def test_tls_is_verified_and_renewed(product: MLProduct, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who trusts the authority is answered, all others refuse; a renewed certificate is shown without a restart."""
    certify(tmp_path, 1)
    monkeypatch.setattr(listener, "RENEWAL_TICKS", 1)
    monkeypatch.setenv(client.TOKEN_VARIABLE, TOKEN)
    server = ModelServer(product, str(tmp_path), StandInFeatures, tmp_path / "log", poll=0.05)
    files = (tmp_path / "certificate.pem", tmp_path / "key.pem")
    config = listener.uvicorn_config(create_app(server, token=TOKEN), "127.0.0.1", 0, *files)
    with listener.bind_socket("127.0.0.1", 0) as listening:
        running, number = listener.Server(config), listening.getsockname()[1]
        thread = threading.Thread(target=running.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not running.started:
            thread.join(0.01)
        url = f"https://127.0.0.1:{number}"
        with pytest.raises(DeploymentError, match=r"certificate that is not trusted: self.signed.*SSL_CERT_FILE"):
            client.server_state(url)
        monkeypatch.setenv("SSL_CERT_FILE", str(files[0]))
        state = client.server_state(url)
        assert state is not None and state.product == "tiny_shop"
        assert probes.http(f"{url}/health", None, TOKEN)
        assert client.server_state(f"http://127.0.0.1:{number}") is None
        certify(tmp_path, 2)

        def serial() -> int:
            shown = ssl.get_server_certificate(("127.0.0.1", number))
            return x509.load_pem_x509_certificate(shown.encode()).serial_number

        end = time.monotonic() + 20
        while serial() != 2:
            assert time.monotonic() < end
        assert client.server_state(url) is not None
        running.should_exit = True
        thread.join(30)


def test_new_connections_are_led_to_the_last_that_listens() -> None:
    """What came before waits at the first socket and is not lost; all later ones come to the second, also alone."""
    first = listener.bind_socket("127.0.0.1", 0)
    port = first.getsockname()[1]
    with first, listener.bind_socket("127.0.0.1", port) as second:
        first.listen()
        earlier = [socket.create_connection(("127.0.0.1", port)) for _ in range(5)]
        second.listen(64)
        listener.lead_here(second)
        later = [socket.create_connection(("127.0.0.1", port)) for _ in range(50)]
        taken = [first.accept()[0].getpeername() for _ in earlier]
        assert taken == [connection.getsockname() for connection in earlier]
        first.setblocking(False)
        with pytest.raises(BlockingIOError):
            first.accept()
        first.close()
        later.append(socket.create_connection(("127.0.0.1", port)))
        taken = [second.accept()[0].getpeername() for _ in later]
        assert taken == [connection.getsockname() for connection in later]
        for connection in (*earlier, *later):
            connection.close()


@pytest.mark.parametrize("error", [psutil.AccessDenied(), PermissionError("/proc/net/tcp"), FileNotFoundError("/proc")])
def test_where_nobody_may_look_a_server_starts_all_the_same(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, error: Exception
) -> None:
    """A container may hide who listens: that is said, and is no reason not to serve."""

    def refused(_: str) -> None:
        raise error

    monkeypatch.setattr(psutil, "net_connections", refused)
    with listener.bind_socket("127.0.0.1", 0) as alone:
        alone.listen()
        listener.lead_here(alone)
    assert "new ones can't be led here" in caplog.text
