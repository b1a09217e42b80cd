"""Kills this very process at its first write that no process died at before: ahead on ``PYTHONPATH``, any Python dies.

A write is a file moved, linked, removed or overwritten, or a commit to SQLite, below the folder ``KILL_BELOW``. The
process gets SIGKILL just before it; of an overwritten file that leaves the worst, nothing. The file ``KILL_LOG`` keeps
the writes that were died at, one a line, so that each run of a program comes further than the one before.
"""

from __future__ import annotations

import os
import re
import signal
import sqlite3
import sys
from collections import Counter
from pathlib import Path
from typing import Any

_BELOW = os.environ.get("KILL_BELOW", "")
_LOG = Path(os.environ.get("KILL_LOG", os.devnull))
_DIED_AT = set(_LOG.read_text("utf-8").splitlines()) if _BELOW and _LOG.exists() else set()
_MOVES = {"os.rename": 1, "os.link": 1, "os.remove": 0}  # which argument has a name that is the same each time
_seen: Counter[str] = Counter()


def _reached(what: str, path: str, truncated: bool = False) -> None:
    name = f"{what} {re.sub(r'[.]tmp-.*', '.tmp', path.removeprefix(_BELOW))}"
    _seen[name] += 1
    write = f"{name} {_seen[name]}"
    if write in _DIED_AT:
        return
    with _LOG.open("a", encoding="utf-8") as log:
        log.write(f"{write}\n")
    if truncated:
        os.truncate(path, 0)
    os.kill(os.getpid(), signal.SIGKILL)


def _watch_files(event: str, arguments: tuple[Any, ...]) -> None:
    if event in _MOVES:
        path = str(arguments[_MOVES[event]])
        if path.startswith(_BELOW):
            _reached(event, path)
    elif event == "open" and arguments[2] & os.O_TRUNC and str(arguments[0]).startswith(_BELOW):
        path = Path(arguments[0])
        if path.exists() and path.stat().st_size:
            _reached("overwrite", str(path), truncated=True)


def _watch_commits(connect: Any) -> Any:
    def watched(*arguments: Any, **settings: Any) -> sqlite3.Connection:
        connection: sqlite3.Connection = connect(*arguments, **settings)
        file = connection.execute("PRAGMA database_list").fetchone()[2]
        if file.startswith(_BELOW):
            connection.set_trace_callback(lambda sql: _reached("commit", file) if sql.startswith("COMMIT") else None)
        return connection

    return watched


if _BELOW:
    sys.addaudithook(_watch_files)
    sqlite3.connect = sqlite3.dbapi2.connect = _watch_commits(sqlite3.connect)  # type: ignore[attr-defined]
