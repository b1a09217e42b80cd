"""How far a long training has come, kept in the artifact root, so that whoever tries again goes on from there."""

from __future__ import annotations

import logging
import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from airflow_mlops_provider.storage.artifacts import ArtifactStore, content_hash

KEPT = 2
_NAME = re.compile(r"\d{6}-[0-9a-f]{64}", re.ASCII)
log = logging.getLogger("mlops.checkpoints")


class Checkpoints:
    """The checkpoints of one piece of work: a folder an epoch, named after the epoch and its content's SHA-256.

    So a folder that a kill left half-written, or that was damaged, does not bear its own name and is passed over. The
    work's address is part of the key: other code, settings or data have other checkpoints.

    :param key: the work's result folder below the artifact root.
    """

    def __init__(self, store: ArtifactStore, key: str) -> None:
        self.store, self.prefix = store, f"{key}/checkpoints"
        self._downloads = tempfile.TemporaryDirectory(prefix="mlops-checkpoints-")

    def latest(self) -> tuple[int, Path] | None:
        """Return the last epoch that was kept whole and a local folder with its files; None if there is none."""
        for name in reversed(self._names()):
            epoch, _, recorded = name.partition("-")
            folder = self.store.download(f"{self.prefix}/{name}", Path(self._downloads.name) / name)
            if content_hash(folder) == recorded:
                return int(epoch), folder
            log.warning("the checkpoint of epoch %d is not whole; looking for the one before", int(epoch))
        return None

    def save(self, epoch: int, write: Callable[[Path], object]) -> None:
        """Keep an epoch, whose files ``write`` puts into an empty folder, and the one before; remove older ones."""
        with tempfile.TemporaryDirectory(prefix="mlops-checkpoint-") as folder:
            write(Path(folder))
            name = f"{epoch:06d}-{content_hash(Path(folder))}"
            self.store.remove(f"{self.prefix}/{name}")  # where it was damaged, no file may stay beside the whole ones
            self.store.upload(Path(folder), f"{self.prefix}/{name}")
        whole = [known for known in self._names() if known[:6] <= name[:6]]  # a later one is what damage left
        for old in {*self._names()} - {*whole[-KEPT:]}:
            self.store.remove(f"{self.prefix}/{old}")

    def clear(self) -> None:
        """Take all of them away: the work is done, or is to begin anew."""
        self.store.remove(self.prefix)

    def _names(self) -> list[str]:
        below = len(self.prefix) + 1
        names = {key[below:].partition("/")[0] for key in self.store.list(self.prefix)}
        for foreign in sorted(name for name in names if not _NAME.fullmatch(name)):
            log.warning("%s/%s is left out, it is no checkpoint of this release", self.prefix, foreign)
        return sorted(filter(_NAME.fullmatch, names))
