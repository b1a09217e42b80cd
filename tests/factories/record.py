"""Results as jobs leave them, made by hand: files at an address, and the manifest that tells of them."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Reference
from airflow_mlops_provider.storage.artifacts import content_hash


def leave(spec: JobSpec, kind: type[Reference], files: dict[str, bytes], **fields: Any) -> Any:
    """Leave a result of a job below its artifact root, a folder, and return the reference to it."""
    address = digest([spec.identity(), sorted(files)])
    made = Path(spec.root) / spec.product / spec.job / address[:32]
    folder = made / digest({name: content.hex() for name, content in files.items()})[:16]
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    result = kind(uri=folder.as_uri(), hash=content_hash(folder), **fields)  # type: ignore[call-arg]
    now = datetime.now(UTC)
    told = Manifest(state="success", spec=spec, address=address, result=result, started=now, ended=now)  # type: ignore[arg-type]
    (made / "manifest.json").write_bytes(told.to_file())
    return result
