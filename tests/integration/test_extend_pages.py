"""The pages about parts of one's own: what they show is a part that keeps its contract, as it stands."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from airflow_mlops_provider import extensions, testing
from airflow_mlops_provider.extensions import ExtensionPoint

PAGES = Path(__file__).parents[2] / "docs" / "extend"
FILE = re.compile(r"<!-- file: (\S+) -->\n```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
TESTED = [page for page in sorted(PAGES.glob("*.md")) if "<!-- file: test_" in page.read_text("utf-8")]


@pytest.mark.parametrize("page", TESTED, ids=lambda page: page.stem)
def test_what_a_page_shows_keeps_its_contract(page: Path, tmp_path: Path) -> None:
    """Its files, written to a folder, are imported from there, and its tests pass."""
    for name, text in FILE.findall(page.read_text("utf-8")):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text)
    (tmp_path / "pytest.ini").write_text("[pytest]\n")
    env = {**os.environ, "PYTHONPATH": str(tmp_path), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-c", "pytest.ini", "."],
        cwd=tmp_path, env=env, capture_output=True, text=True, check=False, timeout=280,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout[-4000:]


def test_every_kind_has_its_page() -> None:
    """Each extension point and each contract's tests stand in the table; what the table names is there."""
    table = (PAGES / "parts.md").read_text("utf-8")
    points = [value for value in vars(extensions).values() if isinstance(value, ExtensionPoint)]
    assert points
    rows = [line for line in table.splitlines() if line.startswith("| [")]
    assert {point.group for point in points} <= set(re.findall(r"`(airflow_mlops\.\w+)`", table))
    assert set(re.findall(r"`(\w+Contract)`", table)) == set(testing.__all__)
    assert len(rows) == len(testing.__all__)
    assert {PAGES / name for row in rows for name in re.findall(r"\((\S+\.md)\)", row)} <= set(PAGES.glob("*.md"))
