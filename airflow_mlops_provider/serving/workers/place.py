"""Which of several workers a process is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple


class Place(NamedTuple):
    """A worker's place among others, as its command line names it.

    :param number: from 0 on. :param of: how many there are.
    :param pid: the process that started it, by which the server is known outside.
    :param folder: where workers ask each other; nobody else may enter it.
    :param listening: the file descriptor of the socket at which all take in connections.
    :param control: that of the line to the process that started it, which ends with that process.
    """

    number: int
    of: int
    pid: int
    folder: str
    listening: int
    control: int

    @classmethod
    def read(cls, text: str) -> Place:
        """Return the place that a command line names."""
        return cls(*json.loads(text))

    def socket(self, number: int) -> Path:
        """Return where a worker answers the others."""
        return Path(self.folder) / f"{number}.sock"

    def predictions(self) -> Path:
        """Return where the calls lie that are answered in the background: any worker is asked for them."""
        return Path(self.folder) / "predictions"

    def figures(self, number: int) -> Path:
        """Return where the metrics lie that were last read of a worker: they are more than those of the next one."""
        return Path(self.folder) / f"{number}.prom"
