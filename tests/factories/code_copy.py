"""A copy of the package and of the reference DAGs that a test may edit, and interpreters that run the copy."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

ROOT = Path(__file__).parents[2]
PACKAGE = "airflow_mlops_provider"
#: A module, what stands there once in one line, and what is to stand there instead.
Edit = tuple[str, str, str]


class CodeCopy:
    """The code below a folder of its own, which an interpreter started here finds ahead of the checkout."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in (PACKAGE, "dags"):
            shutil.copytree(ROOT / name, folder / name)

    def file(self, module: str) -> Path:
        """Return the file of a module of the package, such as ``problems/statistics``, or of ``dags/…``."""
        return self.folder / f"{module if module.startswith('dags/') else f'{PACKAGE}/{module}'}.py"

    def edit(self, module: str, old: str, new: str) -> None:
        """Change one line."""
        text = self.file(module).read_text("utf-8")
        assert text.count(old) == 1, f"{module} has {old!r} {text.count(old)} times; name what it has once"
        assert "\n" not in f"{old}{new}"
        self.file(module).write_text(text.replace(old, new), "utf-8")

    @contextmanager
    def edited(self, *edits: Edit) -> Iterator[None]:
        """Change some lines for as long as it lasts."""
        before = {module: self.file(module).read_bytes() for module, _, _ in edits}
        for edit in edits:
            self.edit(*edit)
        yield
        for module, content in before.items():
            self.file(module).write_bytes(content)

    def start(self, module: str) -> subprocess.Popen[str]:
        """Start a module of the tests in an interpreter that has the copy for its code."""
        path = os.pathsep.join(map(str, (self.folder, self.folder / "dags", ROOT)))
        # What is compiled is kept by time and size, and an edit may change neither.
        env = {**os.environ, "PYTHONPATH": path, "PYTHONDONTWRITEBYTECODE": "1"}
        return subprocess.Popen(
            [sys.executable, "-m", module],
            env=env, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
