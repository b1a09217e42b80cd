"""``airflow mlops ci``: writes a product repository's workflow."""

from __future__ import annotations

from pathlib import Path

from airflow_mlops_provider.cli.delivery.definition import TEMPLATES
from airflow_mlops_provider.exceptions import ConfigurationError


def source(template: str) -> Path:
    """Return the file that a workflow is copied from."""
    return Path(__file__).with_name(f"{template}.template")


def write(template: str, folder: Path, *, force: bool = False) -> str:
    """Write a workflow into a repository's folder, and say where. :raises ConfigurationError: if a file is there.

    :param force: replace it.
    """
    if not folder.is_dir():
        raise ConfigurationError(f"there is no folder {folder}; name the repository with --to")
    file = folder / TEMPLATES[template]
    text = source(template).read_text("utf-8")
    file.parent.mkdir(parents=True, exist_ok=True)
    try:
        with file.open("w" if force else "x", encoding="utf-8") as opened:
            opened.write(text)
    except FileExistsError:
        raise ConfigurationError(f"{file} is there already; compare it, or replace it with --force") from None
    return f"{file}: read its head, and fill in what it asks for"
