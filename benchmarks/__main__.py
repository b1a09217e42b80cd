"""Runs the benchmarks named, or all of them, and prints one table each; exit status 1 if a limit is exceeded."""

from __future__ import annotations

import argparse
import importlib
import os
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
        if module.name[0] != "_" and not module.ispkg
    )
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=benchmarks.__doc__)
    parser.add_argument("name", nargs="*", help=f"which to run: {', '.join(known)} (default: all)")
    parser.add_argument("--record", action="store_true", help=f"put what was measured into {benchmarks.RESULTS.name}")
    parser.add_argument("--minutes", help="for how long soak loads the server")
    arguments = parser.parse_args()
    if arguments.minutes:
        os.environ["BENCHMARK_MINUTES"] = arguments.minutes
    names = arguments.name or known
    unknown = sorted(set(names) - set(known))
    if unknown:
        parser.error(f"unknown benchmark {', '.join(unknown)}; known: {', '.join(known)}")
    return max(_run(name, record=arguments.record) for name in names)


def _run(name: str, *, record: bool) -> int:
    result = importlib.import_module(f"benchmarks.{name}").measure()
    if record:
        benchmarks.record(name, result)
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
