"""Feast's registry file, replaced as a whole: Feast itself empties it first, and a kill there loses every definition.

Others read the registry at the same time, too: training, predictions and the model server while features are loaded.
"""

from __future__ import annotations

import os
from typing import Any

from feast.infra.registry.file import FileRegistryStore
from feast.utils import _utc_now

from airflow_mlops_provider.storage.atomic import atomic_write

CLASS_PATH = f"{__name__}.WholeFileRegistryStore"


class WholeFileRegistryStore(FileRegistryStore):  # type: ignore[misc]
    """A registry in one file; readers see the old content or the new one. Feast finds this class by its name."""

    def _write_registry(self, registry_proto: Any) -> None:
        registry_proto.version_id = os.urandom(16).hex()
        registry_proto.last_updated.FromDatetime(_utc_now())
        atomic_write(self._filepath, registry_proto.SerializeToString())
