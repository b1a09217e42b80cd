"""The one way in for others' parts: by a built-in name, an import path ``package.module:Object``, or an entry point."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass, field
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
    :param further: built-in parts that are no module of their own there: import paths by name.
    """

    kind: str
    package: str | None
    attribute: str
    group: str
    helpers: tuple[str, ...] = ("base",)
    further: Mapping[str, str] = field(default_factory=dict)

    def known(self) -> dict[str, str]:
        """Return the parts that have a name, with their import paths."""
        folder = importlib.import_module(self.package).__path__ if self.package else ()
        modules = [module.name for module in pkgutil.iter_modules(folder) if module.name not in self.helpers]
        builtin = {name: f"{self.package}.{name}:{self.attribute}" for name in modules}
        return {**_elsewhere(self.group), **builtin, **self.further}

    def find(self, name: str) -> Any:
        """Return the part of that name. :raises UnknownNameError: naming those known. :raises ValueError: if broken."""
        where = name if ":" in name else self.known().get(name)
        if where is None:
            raise UnknownNameError(self.kind, name, self.known())
        try:
            return EntryPoint(name, where, self.group).load()
        except Exception as error:  # it may be others' code: whatever it raises, what names it can't be used
            raise ValueError(f"{self.kind} {name!r} can't be loaded: {type(error).__name__}: {error}") from error


@cache  # it reads the metadata of all that is installed
def _elsewhere(group: str) -> dict[str, str]:
    return {entry.name: entry.value for entry in entry_points(group=group)}
