"""What killed processes leave in the temporary directory goes with the next one, and nothing else does."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import pytest

from airflow_mlops_provider.runtime.process import scratch
from airflow_mlops_provider.runtime.process.scratch import own_folder, sweep

WORKS = """
import os, sys, tempfile, time
from airflow_mlops_provider.runtime.process.scratch import own_folder
with own_folder() as folder:
    os.write(1, f"{{folder}}\\n".encode())
    if {fork} and os.fork():
        os.kill(os.getpid(), 9)
    tempfile.mkdtemp(prefix="mlops-inputs-")
    os.write(1, f"{{os.getpid()}}\\n".encode())
    time.sleep(60)
"""


@pytest.fixture(autouse=True)
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A temporary directory of the test's own, where no folder is too young to be looked at."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", 0.0)
    return tmp_path


def working(*, fork: bool = False) -> tuple[subprocess.Popen[str], Path]:
    """Start a process that works in its folder, and return both."""
    process = subprocess.Popen([sys.executable, "-c", WORKS.format(fork=fork)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    return process, Path(process.stdout.readline().strip())


def test_a_killed_process_s_folder_goes_with_the_next(place: Path) -> None:
    """As long as it lives its folder stays, however many come; killed, the next one takes it away."""
    process, folder = working()
    with own_folder() as ours:
        assert {*place.iterdir()} == {folder, ours}
        assert Path(tempfile.mkdtemp()).parent == ours
    assert [*place.iterdir()] == [folder]
    process.send_signal(signal.SIGKILL)
    process.wait()
    with own_folder() as ours:
        assert [*place.iterdir()] == [ours]
    assert [*place.iterdir()] == []
    assert tempfile.gettempdir() == str(place)


def test_a_fork_that_goes_on_keeps_the_folder(place: Path) -> None:
    """A worker that a killed job had forked may still write there."""
    process, folder = working(fork=True)
    process.wait()
    assert process.stdout is not None
    child = int(process.stdout.readline())
    assert sweep(place) == []
    os.kill(child, signal.SIGKILL)
    end = time.monotonic() + 10
    while not sweep(place):
        assert time.monotonic() < end
    assert not folder.exists()


def test_others_folders_and_links_stay(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither another user's, nor one just made, nor what a link of that name leads to, nor any other name."""
    target = place / "precious"
    target.mkdir()
    (target / "file").write_text("kept")
    (place / f"{scratch.PREFIX}link").symlink_to(target)
    (place / "mlops-other").mkdir()
    assert sweep(place) == []
    (place / f"{scratch.PREFIX}a").mkdir()
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", 60.0)
    assert sweep(place) == []
    monkeypatch.setattr(scratch, "YOUNG_SECONDS", 0.0)
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    assert sweep(place) == []
    monkeypatch.undo()
    assert (target / "file").read_text() == "kept"
    assert (place / f"{scratch.PREFIX}a").is_dir()
