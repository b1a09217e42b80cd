"""Runs the benchmarks named, or all of them, and prints one table each; exit status 1 if a limit is exceeded."""

from __future__ import annotations

import argparse
import importlib
import pkgutil
import sys

from rich.console import Console
from rich.table import Table

import benchmarks


def main() -> int:
    """Run the benchmarks; return the exit status."""
    known = sorted(
        module.name
        for module in pkgutil.iter_modules(benchmarks.__path__)
        if module.name != "__main__" and not module.ispkg
    )
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("name", nargs="*", help=f"which to run: {', '.join(known)} (default: all)")
    names = parser.parse_args().name or known
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}; known: {', '.join(known)}")
    return max(_run(name) for name in names)


def _run(name: str) -> int:
    result = importlib.import_module(f"benchmarks.{name}").measure()
    table = Table(*result.columns, title=result.title, title_justify="left")
    for row in result.rows:
        table.add_row(*row)
    console = Console()
    console.print(table)
    if result.note:
        console.print(result.note, highlight=False)
    for line in result.violations:
        console.print(f"LIMIT EXCEEDED: {line}", style="red")
    return 1 if result.violations else 0


if __name__ == "__main__":
    sys.exit(main())
