"""A real Redis with a password, on this machine, for as long as tests need it."""

from __future__ import annotations

import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.factories.ports import free_port

PASSWORD = "open-sesame"


@contextmanager
def server(folder: Path) -> Iterator[int]:
    """Start a server that keeps nothing, and give the port on which it listens."""
    if shutil.which("redis-server") is None:
        pytest.skip("redis-server is not installed")
    pytest.importorskip("redis", reason="redis is not installed")
    port = free_port()
    command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", str(folder)]
    running = subprocess.Popen([*command, "--requirepass", PASSWORD], stdout=subprocess.PIPE, text=True)
    try:
        assert running.stdout
        assert any("Ready to accept" in text for text in running.stdout)
        yield port
    finally:
        running.terminate()
        running.wait()
