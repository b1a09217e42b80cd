"""A model server under load for a while: at 80 % of what it can, at 300 %, with a swap and an outage in the middle.

Callers don't wait for each other, so that what the server leaves waiting shows in the times. For ten minutes:
``python -m benchmarks soak --minutes 10``.
"""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from threading import Event
from typing import Any, NamedTuple

import psutil

from benchmarks import Result
from benchmarks._processes import DAGS, environment, python
from benchmarks.model_server import Server, ours, prepared
from benchmarks.serving.preparation import SWAP

MINUTES = float(os.environ.get("BENCHMARK_MINUTES", "1"))
WORKERS = int(os.environ.get("BENCHMARK_WORKERS", "1"))
ROWS, CLIENTS, CONNECTIONS = 50, 60, 1500
SHARE, OVERLOAD = 0.8, 3.0
#: How many times what it answers to callers who wait is sent to find what it can, and for how many seconds.
BEYOND, CAPACITY_SECONDS = 1.5, 15
#: Within how many seconds the server must be as it was, after overload and outage; and for how long the store is away.
NORMAL_SECONDS, OUTAGE_SECONDS = 5, 3
SLOW_SECONDS = 0.5  # a second with slower calls is named
#: A second is as usual if its 99th percentile is at most so many times the usual one; 20 ms more never count.
USUAL, SPARE = 3.0, 0.02
#: Of what it can, what the server must still answer under overload; and by what its memory may grow, in MB.
LEAST, GROWTH = 0.5, 50


class Phase(NamedTuple):
    """What was asked for a while, and what came of each second. :param memory: the server's at its end, in MB."""

    name: str
    rate: float
    seconds: list[dict[str, Any]]
    memory: float

    @property
    def said(self) -> Counter[int]:
        """How many calls were answered how."""
        return sum(
            (Counter({int(status): n for status, n in second["said"].items()}) for second in self.seconds), Counter()
        )

    def p99(self, seconds: slice = slice(None)) -> float:
        """Return the median of some seconds' 99th percentiles."""
        known = sorted(second["p99"] or float("inf") for second in self.seconds[seconds])
        return float(known[len(known) // 2])

    def row(self) -> tuple[str, ...]:
        """Return how the table shows it."""
        said, count = self.said, len(self.seconds)
        half = sorted(second["p50"] or 0.0 for second in self.seconds)[count // 2]
        others = {status: number for status, number in sorted(said.items()) if status not in {200, 429}}
        figures = (f"{self.rate:,.0f}", f"{said[200] / count:,.0f}", f"{said[429] / count:,.0f}")
        return (
            self.name,
            *figures,
            str(others or ""),
            f"{1000 * half:.1f}",
            f"{1000 * self.p99():.1f}",
            f"{self.memory:.0f}",
        )


class Soak:
    """A server under load. :param server: where it is. :param process: what answers there."""

    def __init__(self, server: Server, process: psutil.Process) -> None:
        self._server, self._process, self._bodies = server, process, server.bodies(ROWS)

    def capacity(self) -> float:
        """Return how many calls a second it answers where more come: fewer than to callers who wait for theirs."""
        waited_for, _, _ = self._server.turn(ROWS, CLIENTS)
        offered = self.load("to find what it can", BEYOND * waited_for, CAPACITY_SECONDS)
        return float(sorted(second["said"].get("200", 0) for second in offered.seconds)[len(offered.seconds) // 2])

    def load(self, name: str, rate: float, seconds: float, beside: Callable[[], object] | None = None) -> Phase:
        """Send calls at a rate. :param beside: what happens in the middle."""
        given = {"port": self._server.port, "path": self._server.path, "bodies": self._bodies, "rate": rate}
        call = json.dumps({**given, "seconds": max(3, round(seconds)), "most": CONNECTIONS})
        command = [sys.executable, "-m", "benchmarks.serving.pace"]
        callers = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment(), text=True)
        with ThreadPoolExecutor(1) as other:
            done = other.submit(self._beside, seconds / 3, beside)
            said, _ = callers.communicate(call)
            done.result()
        memory = sum(each.memory_info().rss for each in (self._process, *self._process.children(recursive=True)))
        return Phase(name, rate, json.loads(said), memory / 2**20)

    @staticmethod
    def _beside(seconds: float, beside: Callable[[], object] | None) -> None:
        if beside:
            time.sleep(seconds)
            beside()


def measure() -> Result:
    """Return what came of each phase, and what was not as it should be."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    with tempfile.TemporaryDirectory(prefix="benchmark-") as home, ExitStack() as stack:
        folder = Path(os.environ.get("BENCHMARK_FOLDER", home))
        requests = prepared(folder)
        server = stack.enter_context(ours("soak", folder, requests, "--workers", str(WORKERS)))
        stack.enter_context(_collected(Path(requests["root"]) / "flight_delay/predictions/rest"))
        soak, online = Soak(server, _process(server.port)), Path(requests["root"]) / "flight_delay/feast/online.db"
        capacity, seconds = soak.capacity(), 60 * MINUTES
        usual = SHARE * capacity
        phases = [
            soak.load("80 %", usual, 0.3 * seconds),
            soak.load("80 %, a swap", usual, 0.2 * seconds, lambda: python(SWAP, str(DAGS), requests["root"])),
            soak.load("300 %", OVERLOAD * capacity, 0.1 * seconds),
            soak.load("80 % after it", usual, 0.15 * seconds),
            soak.load("80 %, the store away", usual, 0.15 * seconds, lambda: _outage(online)),
            soak.load("80 % at the end", usual, 0.1 * seconds),
        ]
    return Result(
        title="A model server under load for a while",
        columns=("phase", "calls a second", "answered", "429", "other answers", "p50 ms", "p99 ms", "MB"),
        rows=tuple(phase.row() for phase in phases),
        violations=tuple(_violations(phases, capacity)),
        note=f"{MINUTES:g} minutes, workers: {WORKERS}, {ROWS} rows a call, features from SQLite. Where more "
        f"calls come, it answers {capacity:,.0f} a second. The store was away for {OUTAGE_SECONDS} s. Times are those "
        "since a call was due, medians over the seconds.",
    )


def _violations(phases: list[Phase], capacity: float) -> list[str]:
    first, swap, overload, after, outage, last = phases
    found = [
        f"{phase.name}: answered {dict(phase.said)}, in seconds {_others(phase)}"
        for phase in (first, swap, last)
        if {*phase.said} != {200}
    ]
    third = len(first.seconds) // 3
    usual = max(first.p99(slice(third)) * USUAL, first.p99(slice(third)) + SPARE)
    for phase, seconds in ((first, slice(-third, None)), (last, slice(None))):
        if phase.p99(seconds) > usual:
            found.append(
                f"{phase.name}: p99 {1000 * phase.p99(seconds):.1f} ms, {1000 * first.p99(slice(third)):.1f} at first"
            )
    if set(overload.said) != {200, 429} or overload.said[200] < LEAST * capacity * len(overload.seconds):
        found.append(f"{overload.name}: answered {dict(overload.said)}; {capacity:,.0f} a second were possible")
    if not _is_usual(after.seconds[NORMAL_SECONDS:], usual):
        found.append(f"{after.name}: not as usual after {NORMAL_SECONDS} s; other answers in seconds {_others(after)}")
    if not set(outage.said) <= {200, 503} or not outage.said[503]:
        found.append(f"{outage.name}: answered {dict(outage.said)}")
    away = [number for number, second in enumerate(outage.seconds) if "503" in second["said"]]
    if away and away[-1] - away[0] > OUTAGE_SECONDS + NORMAL_SECONDS:
        found.append(f"{outage.name}: not as usual {NORMAL_SECONDS} s after the store was back")
    if (grown := last.memory - first.memory) > GROWTH:
        found.append(f"the server grew by {grown:.0f} MB")
    return found


def _others(phase: Phase) -> str:
    """Return in which seconds of a phase calls were answered otherwise than 200, or took over half a second."""
    return ", ".join(
        str(number)
        for number, second in enumerate(phase.seconds)
        if {*second["said"]} != {"200"} or second["p99"] > SLOW_SECONDS
    )


def _is_usual(seconds: list[dict[str, Any]], usual: float) -> bool:
    slow = [second for second in seconds if set(second["said"]) != {"200"} or second["p99"] > usual]
    return len(slow) <= len(seconds) // 10  # of other programs on the machine there is now and then one


@contextmanager
def _collected(log: Path) -> Iterator[None]:
    """Move the prediction log away every second, as who collects it does: it grows by gigabytes a minute."""
    ended = Event()

    def collect() -> None:
        while not ended.wait(1):
            for file in log.glob("*.jsonl"):
                file.unlink()

    with ThreadPoolExecutor(1) as other:
        done = other.submit(collect)
        try:
            yield
        finally:
            ended.set()
            done.result()


def _outage(online: Path) -> None:
    away = online.with_suffix(".away")
    online.rename(away)
    time.sleep(OUTAGE_SECONDS)
    away.rename(online)


def _process(port: int) -> psutil.Process:
    lines = ((process, process.info["cmdline"] or []) for process in psutil.process_iter(["cmdline"]))
    return next(process for process, line in lines if str(port) in line and "--worker" not in line)
