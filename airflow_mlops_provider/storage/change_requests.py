"""What is asked of data engineering, kept in the artifact root: each request once, until somebody answers it."""

from __future__ import annotations

from airflow_mlops_provider.exceptions import ConflictError, UnknownNameError
from airflow_mlops_provider.lifecycle.monitoring.feedback import DataChangeRequest
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore
from airflow_mlops_provider.storage.record_files import read_kept


class ChangeRequests:
    """The requests of a product, a file each."""

    def __init__(self, store: FolderStore | BucketStore, product: str) -> None:
        self._store = store
        self._prefix = f"{product}/feedback"

    def add(self, request: DataChangeRequest) -> DataChangeRequest:
        """Keep a request and return it; one that is kept already stays as it is, answered perhaps, and is returned."""
        try:
            self._store.write_new(self._file(request.key), _bytes(request))
        except ConflictError:
            return self._read(request.key)
        return request

    def all(self) -> list[DataChangeRequest]:
        """Return every request, oldest first; one that can't be read is left out."""
        keys = [key for key in self._store.list(self._prefix) if key.endswith(".json")]
        found = [request for key in keys if (request := read_kept(self._store, key, DataChangeRequest))]
        return sorted(found, key=lambda request: (request.at, request.key))

    def open(self) -> list[DataChangeRequest]:
        """Return the requests that wait for an answer, oldest first."""
        return [request for request in self.all() if request.state == "open"]

    def close(self, key: str, answer: str) -> DataChangeRequest:
        """Answer a request and return it as it then is.

        :raises UnknownNameError: if no open one bears that name; the message lists those that do.
        """
        waiting = {request.key: request for request in self.open()}
        if key not in waiting:
            raise UnknownNameError("open request", key, waiting)
        closed = waiting[key].model_copy(update={"state": "closed", "answer": answer})
        self._store.write(self._file(key), _bytes(closed))
        return closed

    def _read(self, key: str) -> DataChangeRequest:
        return DataChangeRequest.from_file(self._store.read(self._file(key)))

    def _file(self, key: str) -> str:
        return f"{self._prefix}/{key}.json"


def _bytes(request: DataChangeRequest) -> bytes:
    return request.to_file()
