"""Requests to data engineering, kept in the artifact root: each once, until somebody answers it."""

from __future__ import annotations

from airflow_mlops_provider.exceptions import ConflictError, UnknownNameError
from airflow_mlops_provider.lifecycle.monitoring.feedback import DataChangeRequest
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import product_key
from airflow_mlops_provider.storage.record_files import read_all, read_record


class ChangeRequests:
    """The requests of a product, a file each."""

    def __init__(self, store: ArtifactStore, product: str) -> None:
        self._store = store
        self._prefix = product_key(product, "feedback")

    def add(self, request: DataChangeRequest) -> DataChangeRequest:
        """Keep a request and return it; one that is kept already stays as it is, answered perhaps, and is returned."""
        try:
            self._store.write_new(self._file(request.key), request.to_file())
        except ConflictError:
            return read_record(self._store, self._file(request.key), DataChangeRequest)
        return request

    def all(self) -> list[DataChangeRequest]:
        """Return every request, oldest first; one that can't be read is left out."""
        keys = [key for key in self._store.list(self._prefix) if key.endswith(".json")]
        requests = read_all(self._store, keys, DataChangeRequest)
        return sorted(requests, key=lambda request: (request.at, request.key))

    def open(self) -> list[DataChangeRequest]:
        """Return the requests that wait for an answer, oldest first."""
        return [request for request in self.all() if request.state == "open"]

    def close(self, key: str, answer: str) -> DataChangeRequest:
        """Answer a request and return it as it then is. :raises UnknownNameError: if it is none of the open ones."""
        waiting = {request.key: request for request in self.open()}
        if key not in waiting:
            raise UnknownNameError("open request", key, waiting)
        closed = waiting[key].model_copy(update={"state": "closed", "answer": answer})
        self._store.write(self._file(key), closed.to_file())
        return closed

    def _file(self, key: str) -> str:
        return f"{self._prefix}/{key}.json"
