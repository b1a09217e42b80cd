"""Code of a Feast repository, imported as ``feast apply`` does it, and nothing of it left behind in this process."""

from __future__ import annotations

import importlib
import linecache
import sys
import sysconfig
from collections.abc import Iterator
from contextlib import chdir, contextmanager
from pathlib import Path
from types import ModuleType

_INSTALLED = tuple(Path(sysconfig.get_path(name)) for name in ("stdlib", "platstdlib", "purelib", "platlib"))


@contextmanager
def importable(folder: Path) -> Iterator[None]:
    """Work in a folder, whose modules come before all others but those that are installed.

    Every repository calls its modules alike, and Feast finds them by these names: those of another repository, or of
    whoever else is in this process, are set aside meanwhile. Paths in definitions may be relative to the folder.
    """
    own = {entry.stem for entry in folder.iterdir() if entry.suffix == ".py" or entry.is_dir()}
    path, writes_bytecode, aside = [*sys.path], sys.dont_write_bytecode, _take_out(own)
    sys.path.insert(0, str(folder))
    sys.dont_write_bytecode = True  # the repository may be anybody's, and read-only
    importlib.invalidate_caches()
    linecache.checkcache()  # Feast keeps the source of functions, which another run may have seen before an edit
    try:
        with chdir(folder):
            yield
    finally:
        sys.path[:], sys.dont_write_bytecode = path, writes_bytecode
        _take_out(own)
        sys.modules.update(aside)


def _take_out(names: set[str]) -> dict[str, ModuleType]:
    """Forget the modules of some top-level names that are not installed, and return them."""
    mine = {
        name: module
        for name, module in sys.modules.items()
        if name.partition(".")[0] in names and not _is_installed(module)
    }
    for name in mine:
        del sys.modules[name]
    return mine


def _is_installed(module: ModuleType) -> bool:
    where = getattr(module, "__file__", None) or next(iter(getattr(module, "__path__", ())), None)
    return where is None or any(Path(where).is_relative_to(folder) for folder in _INSTALLED)
