"""A real PostgreSQL with a password, on this machine, for as long as tests need it."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.factories.ports import free_port


def program(name: str) -> str | None:
    """Return where one of PostgreSQL's programs is; Debian keeps them off the path."""
    found = sorted(Path("/usr/lib/postgresql").glob(f"*/bin/{name}"))
    return shutil.which(name) or (str(found[-1]) if found else None)


#: Marks of a module whose tests need one.
NEEDED = [
    pytest.mark.skipif(program("initdb") is None, reason="PostgreSQL is not installed"),
    pytest.mark.skipif(shutil.which("runuser") is None, reason="runuser is not installed"),
]


@contextmanager
def server(user: str, password: str) -> Iterator[int]:
    """Start a server with one user, and give the port on which it listens; its database is ``postgres``."""
    pytest.importorskip("psycopg2", reason="psycopg2 is not installed")
    # Not among the other temporary folders, of which a user of its own can read none.
    folder, port = Path(tempfile.mkdtemp(prefix="mlops-postgres-")), free_port()
    (folder / "password").write_text(password)
    # PostgreSQL refuses to run as root.
    become = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    if become:
        subprocess.run(["chown", "-R", "postgres", str(folder)], check=True)
    data, log = folder / "data", folder / "log"

    def call(name: str, *arguments: str) -> None:
        command = [*become, str(program(name)), *arguments]
        done = subprocess.run(command, check=False, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr

    call("initdb", "-D", str(data), "-U", user, "-A", "scram-sha-256", f"--pwfile={folder / 'password'}", "-N")
    call("pg_ctl", "-D", str(data), "-l", str(log), "-w", "-o", f"-p {port} -k {folder} -h 127.0.0.1 -F", "start")
    yield port
    call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
    shutil.rmtree(folder)
