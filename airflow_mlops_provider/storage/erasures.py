"""Requests to forget entities, kept below the artifact root, and which files lost rows to them since their records.

A dataset out of which rows were taken keeps its name, the hash under which everybody knows it: the record beside says
which of its files are others now.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from hashlib import sha256
from pathlib import Path

from airflow_mlops_provider.exceptions import ConflictError
from airflow_mlops_provider.lifecycle.frozen import digest
from airflow_mlops_provider.lifecycle.records.erasure import ErasedRows, Erasure, Names, Search, entity_digest
from airflow_mlops_provider.storage.artifacts import ArtifactStore, file_hash, files_of
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.record_files import read_all, read_kept, read_record


class Erasures:
    """A product's requests, and the files that they changed."""

    def __init__(self, store: ArtifactStore, product: str) -> None:
        self.store, self.product = store, product

    def all(self) -> list[Erasure]:
        """Return the requests, oldest first."""
        keys = self.store.list(product_key(self.product, "forgotten", "requests"))
        requests = read_all(self.store, [key for key in keys if key.endswith(".json")], Erasure)
        return sorted(requests, key=lambda request: (request.at, request.key))

    def ask(self, entities: Iterable[Mapping[str, str]], by: str, reason: str = "") -> Erasure:
        """Keep a request, and return it; asked again, the moment is the later one, and it is searched for anew."""
        salt, columns = self.salt(), dict[tuple[str, ...], set[str]]()
        for entity in entities:
            if known := entity_digest(salt, entity):
                columns.setdefault(tuple(sorted(entity)), set()).add(known)
        names = [Names(columns=key, digests=tuple(sorted(columns[key]))) for key in sorted(columns)]
        request = Erasure(at=datetime.now(UTC), by=by, reason=reason, names=tuple(names))
        before = read_kept(self.store, self._file(request.key), Erasure)
        if before:
            request = request.model_copy(update={"searches": before.searches})
        self.store.write(self._file(request.key), request.to_file())
        return request

    def searched(self, key: str, search: Search) -> Erasure:
        """Add what a search found to a request, and return it."""
        request = read_record(self.store, self._file(key), Erasure)
        request = request.model_copy(update={"searches": (*request.searches, search)})
        self.store.write(self._file(key), request.to_file())
        return request

    def withdraw(self, key: str) -> None:
        """Take a request back, of which nothing was found and nothing can be."""
        self.store.remove(product_key(self.product, "forgotten", "requests", key))

    def salt(self) -> bytes:
        """Return what the product's digests are keyed with: made once."""
        key = product_key(self.product, "forgotten", "salt")
        with suppress(ConflictError):
            if not self.store.exists(key):
                self.store.write_new(key, secrets.token_bytes(32))
        return self.store.read(key)

    def replace(self, key: str, data: bytes, rows: Mapping[str, int]) -> None:
        """Write a file without the rows that were taken out of it: first that it is so, then the file.

        :param rows: how many, by request.
        """
        record, now = self._record(key), sha256(data).hexdigest()
        known = read_kept(self.store, record, ErasedRows) or ErasedRows(
            was=sha256(self.store.read(key)).hexdigest(), now=(), rows={}
        )
        if now not in known.now:  # else a search was killed between the two
            every = {name: known.rows.get(name, 0) + rows.get(name, 0) for name in {**known.rows, **rows}}
            self.store.write(record, ErasedRows(was=known.was, now=(*known.now, now), rows=every).to_file())
        self.store.write(key, data)

    def changed(self) -> dict[str, ErasedRows]:
        """Return the files that lost rows, by key."""
        prefix = product_key(self.product, "forgotten", "files")
        keys = [key for key in self.store.list(prefix) if key.endswith(".json")]
        records = ((key, read_kept(self.store, key, ErasedRows)) for key in keys)
        return {key.removeprefix(f"{prefix}/").removesuffix(".json"): record for key, record in records if record}

    def _file(self, key: str) -> str:
        return product_key(self.product, "forgotten", "requests", key, "request.json")

    def _record(self, key: str) -> str:
        return product_key(self.product, "forgotten", "files", f"{key}.json")


def recorded_content(store: ArtifactStore, key: str, folder: Path) -> str:
    """Return the hash under which a result's files are known: as they are, or were before rows were taken out of them.

    :param folder: where they are on this machine.
    """
    hashes = {path.relative_to(folder).as_posix(): file_hash(path) for path in files_of(folder)}
    content = digest(hashes)
    name = key.rpartition("/")[2]
    if content.startswith(name[:16]) or not hashes:
        return content
    for file, now in hashes.items():
        record = product_key(key.partition("/")[0], "forgotten", "files", f"{key}/{file}.json")
        erased = read_kept(store, record, ErasedRows)
        if erased and now in erased.now:
            hashes[file] = erased.was
    return digest(hashes)
