"""The one way in for others' parts: by a built-in name, an import path ``package.module:Object``, or an entry point."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from typing import Any

from airflow_mlops_provider.exceptions import UnknownNameError


@dataclass(frozen=True)
class ExtensionPoint:
    """Where the parts of one kind are looked for.

    :param kind: what messages call such a part.
    :param package: each of its modules but the ``helpers`` holds a built-in part of that name, as ``attribute``.
    :param group: the entry-point group in which other distributions name their parts.
    """

    kind: str
    package: str
    attribute: str
    group: str
    helpers: tuple[str, ...] = ("base",)

    def find(self, name: str) -> Any:
        """Return the part of that name. :raises UnknownNameError: naming those known. :raises ValueError: if broken."""
        modules = (module.name for module in pkgutil.iter_modules(importlib.import_module(self.package).__path__))
        builtin = {name: f"{self.package}.{name}:{self.attribute}" for name in modules if name not in self.helpers}
        where = name if ":" in name else builtin.get(name) or _elsewhere(self.group).get(name)
        if where is None:
            raise UnknownNameError(self.kind, name, [*builtin, *_elsewhere(self.group)])
        try:
            return EntryPoint(name, where, self.group).load()
        except Exception as error:  # it may be others' code: whatever it raises, what names it can't be used
            raise ValueError(f"{self.kind} {name!r} can't be loaded: {type(error).__name__}: {error}") from error


@cache  # it reads the metadata of all that is installed
def _elsewhere(group: str) -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group=group)}
