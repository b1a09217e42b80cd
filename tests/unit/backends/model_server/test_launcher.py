"""A running model server is found by its command line, however that was rewritten."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from airflow_mlops_provider.backends.model_server import launcher

# What the server's own imports do: Feast imports gunicorn, which may set the process's title.
WAIT = "import sys, time\n{rewrite}\nprint(flush=True)\ntime.sleep(600)\n"
REWRITE = "import setproctitle; setproctitle.setproctitle(' '.join([sys.executable, '-m', {module!r}, *sys.argv[1:]]))"


@pytest.fixture
def stand_in(tmp_path: Path) -> Iterator[list[subprocess.Popen[bytes]]]:
    """Return the processes that a test starts; they end with it."""
    started: list[subprocess.Popen[bytes]] = []
    yield started
    for one in started:
        one.kill()
        one.wait()


def package(folder: Path, rewrite: str) -> Path:
    """Write a package that stands for the server, for a process to run by the server's command line."""
    module = folder / "airflow_mlops_provider" / "serving"
    module.mkdir(parents=True)
    for part in (module, module.parent):
        (part / "__init__.py").touch()
    (module / "__main__.py").write_text(WAIT.format(rewrite=rewrite))
    return folder


@pytest.mark.parametrize("rewritten", [False, True], ids=["as started", "title rewritten"])
@pytest.mark.parametrize("name", ["artifacts", "two words", "a --host b"])
def test_a_server_is_found(
    tmp_path: Path, stand_in: list[subprocess.Popen[bytes]], name: str, *, rewritten: bool
) -> None:
    if rewritten:
        pytest.importorskip("setproctitle")
    rewrite = REWRITE.format(module="airflow_mlops_provider.serving") if rewritten else ""
    path, root = package(tmp_path / "path", rewrite), str(tmp_path / name)
    for product, code in (("rain", "abc"), ("snow", "")):
        line = [*launcher.command(product, root, "127.0.0.1", 8900, code), launcher.TAKEOVER]
        child = subprocess.Popen(line, cwd=path, stdout=subprocess.PIPE)
        stand_in.append(child)
        assert child.stdout is not None
        child.stdout.readline()
    rain, snow = stand_in
    assert launcher.running(root, "rain") == [launcher.ServerProcess(rain.pid, "http://127.0.0.1:8900", "abc")]
    assert launcher.running(root, "snow") == [launcher.ServerProcess(snow.pid, "http://127.0.0.1:8900", "")]
    assert launcher.running(str(tmp_path / "elsewhere"), "rain") == []
    assert launcher.running(root, "rai") == []


def test_what_only_names_a_server_is_none(tmp_path: Path, stand_in: list[subprocess.Popen[bytes]]) -> None:
    """A shell that was given the line as its text has it in its own command line, and is not ended for it."""
    line = " ".join(launcher.command("rain", str(tmp_path), "127.0.0.1", 8900, "abc"))
    for named in (["/bin/sh", "-c", f"read never; {line}"], ["/bin/sh", "-c", "read never; :", line]):
        stand_in.append(subprocess.Popen(named, stdin=subprocess.PIPE))
        while not (shown := psutil.Process(stand_in[-1].pid).cmdline()):  # between fork and exec there is none
            time.sleep(0.01)
        assert shown[-1].endswith("--code abc")
    assert launcher.running(str(tmp_path), "rain") == []
