"""Streams in tables: a folder of SQLite files, one for each stream, whose rows are numbered and never changed."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path

from airflow_mlops_provider.backends.streams.base import Batch, Entry, Position, StreamServer
from airflow_mlops_provider.exceptions import SourceDataError, SourceError

TABLE = "CREATE TABLE IF NOT EXISTS entries (number INTEGER PRIMARY KEY AUTOINCREMENT, at REAL, fields TEXT)"


class TableStreams(StreamServer):
    """The connection's host is the folder. An entry's id is its number."""

    def read(self, stream: str, after: Position, most: int, lost_through: str | None = None) -> Batch:
        file = Path(self.address.host) / f"{stream}.db"
        if not file.is_file():
            raise SourceError(f"there is no stream {stream!r} in {self.address.host}")
        with closing(sqlite3.connect(file)) as table, table:
            table.execute("BEGIN IMMEDIATE")  # what is read is of one moment
            older = table.execute("SELECT max(number) FROM entries WHERE at < ?", [after.since.timestamp()]).fetchone()
            begin = (older[0] or 0) if after.number is None else after.number
            query = "SELECT number, at, fields FROM entries WHERE number > ? ORDER BY number LIMIT ?"
            rows = table.execute(query, [begin, most]).fetchall()
            ever = table.execute("SELECT seq FROM sqlite_sequence").fetchone()
            now = datetime.now(UTC)
        before = rows[0][0] - 1 if rows else ever[0]
        if before != begin and not (lost_through and int(lost_through) >= before):
            raise SourceDataError(f"stream {stream!r} has lost {begin + 1} to {before}: give lost_through='{before}'")
        return Batch([_entry(*row) for row in rows], before, now)

    def probe(self) -> str:
        if not Path(self.address.host).is_dir():
            raise SourceError(f"{self.address.host} is no folder")
        return f"streams lie in {self.address.host}"


def _entry(number: int, at: float, fields: str) -> Entry:
    named = {name.encode(): value.encode() for name, value in json.loads(fields).items()}
    return Entry(str(number), datetime.fromtimestamp(at, UTC), named)
