"""scikit-learn's objects as skops keeps them: without pickle, the same bytes each time, and of known types only."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import PurePath
from typing import Any
from zipfile import ZipFile, ZipInfo

from airflow_mlops_provider.exceptions import ConfigurationError

#: Whose classes are loaded. Functions are called by what is loaded: few of them.
PACKAGES = ("lightgbm", "numpy", "scipy", "sklearn", "xgboost")
_FUNCTIONS = (
    *("sklearn.feature_selection.", "sklearn.metrics.", "sklearn.utils.validation."),
    "scipy._lib.array_api_compat.numpy.",
)
#: Of Python's own: what they hold is looked at like anything else.
_CONTAINERS = ("collections.OrderedDict", "functools.partial")
_SCHEMA = "schema.json"


def pack(model: Any) -> bytes:
    """Return a model as skops's archive.

    :raises ConfigurationError: if something in it can't be kept, or would not be loaded again; it says what.
    """
    from skops.io import dumps

    try:
        data = dumps(model)
    except Exception as error:  # whatever the object's own code raises
        raise ConfigurationError(
            f"the {type(model).__name__} can't be kept without pickle: {type(error).__name__}: {str(error)[:300]}"
        ) from error
    trusted(data)
    return _plain(data)


def unpack(data: bytes) -> Any:
    """Return the model that an archive holds. :raises ConfigurationError: if it holds what is not to be loaded."""
    from skops.io import loads

    return loads(data, trusted=trusted(data))


def packages(data: bytes) -> set[str]:
    """Return the packages whose classes an archive holds, without loading any."""
    with ZipFile(io.BytesIO(data)) as archive:
        return {module.partition(".")[0] for module in _modules(json.loads(archive.read(_SCHEMA)))}


def _modules(node: Any) -> Iterator[str]:
    if isinstance(node, dict) and isinstance(node.get("__module__"), str):
        yield node["__module__"]
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        yield from _modules(part)


def trusted(data: bytes) -> list[str]:
    """Return the types that an archive holds beside those that skops trusts by itself.

    :raises ConfigurationError: if there is one of another library; it names it.
    """
    from skops.io import get_untrusted_types

    names: list[str] = get_untrusted_types(data=data)
    refused = [name for name in names if not _is_known(name)]
    if refused:
        raise ConfigurationError(
            f"the model holds {', '.join(refused)}; only classes of {', '.join(PACKAGES)} are loaded, as any other "
            "code would run wherever the model is: do such a step in assemble, take one of scikit-learn's own, or make "
            "a flavor for it"
        )
    return names


def _is_known(name: str) -> bool:
    """Say whether a name is one of a class of those packages, or of a function that does no more than compute."""
    module, _, attribute = name.rpartition(".")
    if name in _CONTAINERS:
        return True
    if module.partition(".")[0] not in PACKAGES:
        return False
    try:
        part = getattr(import_module(module), attribute)
    except (ImportError, AttributeError):
        return False
    return isinstance(part, type) or name.startswith(_FUNCTIONS)


def _plain(data: bytes) -> bytes:
    """Return an archive without what differs each time: objects' addresses in memory, and what lies between fields."""
    buffer = io.BytesIO()
    with ZipFile(io.BytesIO(data)) as source, ZipFile(buffer, "w") as target:
        schema = json.loads(source.read(_SCHEMA))
        names: dict[str, str] = {}
        _number(schema, {}, names)
        for old, new in names.items():
            target.writestr(ZipInfo(new), _clean(source.read(old)) if new.endswith(".npy") else source.read(old))
        target.writestr(ZipInfo(_SCHEMA), json.dumps(schema, separators=(",", ":")))
    return buffer.getvalue()


def _number(node: Any, ids: dict[int, int], names: dict[str, str]) -> None:
    """Number the objects and files of a schema, from the first to the last."""
    if isinstance(node, dict):
        if "__id__" in node:
            node["__id__"] = ids.setdefault(node["__id__"], len(ids))
        if "file" in node and "__loader__" in node:
            node["file"] = names.setdefault(node["file"], f"{len(names)}{PurePath(node['file']).suffix}")
    for part in node.values() if isinstance(node, dict) else node if isinstance(node, list) else ():
        _number(part, ids, names)


def _clean(array: bytes) -> bytes:
    """Return a kept array with zeros between the fields of a record: a tree's nodes have gaps that nobody writes."""
    import numpy as np

    given = np.load(io.BytesIO(array), allow_pickle=False)
    if given.dtype.names is None:
        return array
    clean = np.zeros(given.shape, given.dtype)
    for name in given.dtype.names:
        clean[name] = given[name]
    buffer = io.BytesIO()
    np.save(buffer, clean, allow_pickle=False)
    return buffer.getvalue()
