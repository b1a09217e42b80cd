"""An S3 server for tests: moto's, which speaks the real protocol over HTTP, in a process of its own."""

from __future__ import annotations

import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import httpx

from tests.factories.ports import free_port


@contextmanager
def s3_server() -> Iterator[dict[str, str]]:
    """Start a server on 127.0.0.1 and give the environment variables that lead to it; it ends with the block."""
    port = free_port()
    server = subprocess.Popen(
        [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    env = {
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port}",
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }
    try:
        for _ in range(300):
            try:
                httpx.get(env["AWS_ENDPOINT_URL"])
                break
            except httpx.TransportError:
                time.sleep(0.1)
        yield env
    finally:
        server.terminate()
        server.wait(20)
