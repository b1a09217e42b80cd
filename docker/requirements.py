"""Print what ``pyproject.toml`` depends on, and what else was asked for: one requirement a line, as pip reads it."""

from __future__ import annotations

import sys
import tomllib
from pathlib import Path

declared = tomllib.loads(Path(sys.argv[1]).read_text("utf-8"))["project"]["dependencies"]
print(*declared, *" ".join(sys.argv[2:]).split(), sep="\n")  # noqa: T201
