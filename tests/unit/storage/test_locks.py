"""Locks: one holder at a time, in threads and in processes, and none that a killed process keeps."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.locks import store_lock
from tests.factories.ledger import run_together

HOLDER = """
import sys, time
from pathlib import Path
from airflow_mlops_provider.storage.locks import file_lock
with file_lock(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(60)
"""


def test_one_holder_at_a_time(tmp_path: Path) -> None:
    """Of four that want the same key of a folder at once, no two are ever inside together."""
    inside, most = [0], [0]

    def work() -> None:
        with store_lock(FolderStore(tmp_path), "shop/serving/deploy"):
            inside[0] += 1
            most[0] = max(most[0], inside[0])
            inside[0] -= 1

    run_together([work] * 4)
    assert most == [1]
    assert [path.name for path in (tmp_path / "shop" / "serving").iterdir()] == ["deploy.lock"]


def test_a_killed_holder_lets_the_next_one_in(tmp_path: Path) -> None:
    """The lock of a process that was killed inside is free again."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path / "a.lock")]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == b"held\n"
        with subprocess.Popen(command, stdout=subprocess.PIPE) as waiting:
            assert waiting.stdout is not None
            holder.kill()
            assert waiting.stdout.readline() == b"held\n"
            waiting.kill()
