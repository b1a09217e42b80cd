"""The distributions whose versions decide what many jobs make."""

from __future__ import annotations

TABLES = ("pandas", "pyarrow")
FEAST = ("feast", "duckdb", *TABLES)
