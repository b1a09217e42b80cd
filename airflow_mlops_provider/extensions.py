"""The one way in for others' parts: by a built-in name, an import path ``package.module:Object``, or an entry point."""

from __future__ import annotations

import importlib
import pkgutil
from dataclasses import dataclass
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
        """Return the part of that name.

        :raises UnknownNameError: if there is none; the message lists the known names.
        :raises ValueError: if it can't be loaded.
        """
        known = {entry.name: entry for entry in (*entry_points(group=self.group), *self._builtins())}
        entry = EntryPoint(name, name, self.group) if ":" in name else known.get(name)
        if entry is None:
            raise UnknownNameError(self.kind, name, known)
        try:
            return entry.load()
        except Exception as error:  # it may be others' code: whatever it raises, what names it can't be used
            raise ValueError(f"{self.kind} {name!r} can't be loaded: {type(error).__name__}: {error}") from error

    def _builtins(self) -> list[EntryPoint]:
        modules = pkgutil.iter_modules(importlib.import_module(self.package).__path__)
        names = (module.name for module in modules if module.name not in self.helpers)
        return [EntryPoint(name, f"{self.package}.{name}:{self.attribute}", self.group) for name in names]
