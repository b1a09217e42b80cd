"""What a replay delivers: made ready while the loop still works on what came before, then there at once."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.runtime.code import load


class Delivery(NamedTuple):
    """An interval's files. :param gap: whether some of the weather is missing."""

    interval: Interval
    gap: bool = False


class Deliveries:
    """Deliveries in their order; the first one lies in the landing root as soon as it is written.

    :param deliver: names what writes an interval's files below a folder and returns them.
    :param folder: where the later ones lie until it is their turn; on the landing root's disk.
    """

    def __init__(self, deliver: str, plan: Sequence[Delivery], landing: Path, folder: Path) -> None:
        self._deliver, self._landing = deliver, landing
        self._pool = ThreadPoolExecutor(1)
        self._coming = list[tuple[Path, Future[list[Path]]]]()
        for number, delivery in enumerate(plan):
            below = folder / str(number) if number else landing
            self._coming.append((below, self._pool.submit(self._write, below, delivery)))
            if not number and sys.platform == "linux":  # of this thread alone, there: the later ones are in no hurry
                self._pool.submit(os.nice, 19)

    def arrive(self) -> None:
        """Have the next delivery appear, each file whole; wait if it is not ready yet."""
        below, files = self._coming.pop(0)
        for file in files.result():
            target = self._landing / file.relative_to(below)
            target.parent.mkdir(parents=True, exist_ok=True)
            file.replace(target)

    def close(self) -> None:
        """Make nothing more ready."""
        self._pool.shutdown(cancel_futures=True)

    def _write(self, below: Path, delivery: Delivery) -> list[Path]:
        files: list[Path] = load(self._deliver)(below, delivery.interval, gap=delivery.gap)
        return files
