"""Feast: files and DuckDB offline; SQLite, Redis or any other of its stores online."""
