"""The one way in which files of ours are read back: what can't be read is named and left out, and hides nothing else.

A release reads what an older or a newer one wrote; see :meth:`~..lifecycle.frozen.Frozen.from_file`.
"""

from __future__ import annotations

import logging
from typing import TypeVar

from pydantic import ValidationError

from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.storage.artifacts import ArtifactStore

log = logging.getLogger("mlops.records")
Kept = TypeVar("Kept", bound=Frozen)


def read_kept(store: ArtifactStore, key: str, kind: type[Kept]) -> Kept | None:
    """Return what a file holds; None if there is none, or, with a warning that names it, if it can't be read."""
    try:
        return kind.from_file(store.read(key))
    except FileNotFoundError:
        return None
    except (ValidationError, IsADirectoryError, NotADirectoryError) as error:
        log.warning("%s/%s is left out, it holds no %s: %s", store.uri, key, kind.__name__, _why(error))
        return None


def _why(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return type(error).__name__
    first = error.errors(include_url=False, include_input=False)[0]
    return f"{'.'.join(map(str, first['loc'])) or 'the file'}: {first['msg']}"
