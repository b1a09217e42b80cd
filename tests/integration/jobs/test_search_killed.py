"""Two workers on one search, killed again and again at random moments: no trial is lost, none is run twice."""

from __future__ import annotations

import json
import multiprocessing
import os
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any

import pytest

from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.search.trials import Trial
from tests.factories.search import SearchWorld, take
from tests.factories.tiny import manifests

pytestmark = pytest.mark.skipif(
    os.environ.get("MLOPS_TEST_WEATHER") != "1", reason="takes long: MLOPS_TEST_WEATHER=1 runs it"
)
TRIALS, KILLS, WORKERS = 24, 10, 2
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [
        "airflow_mlops_provider.jobs.experimentation.trial",
        "airflow_mlops_provider.backends.search.optuna.study",
        "lightgbm",
        "mlflow",
    ]
)


@dataclass
class Killed:
    """A search of 24 trials by two workers, and what stood in the database each time that one of them was killed.

    :param seen: for each kill, the trials and how many lines the log of trainings had.
    """

    world: SearchWorld
    split: Dataset
    seen: list[tuple[list[Trial], int]] = field(default_factory=list)

    @property
    def log(self) -> Path:
        return self.world.root / "trainings.log"

    def trainings(self) -> list[tuple[str, int, float, int]]:
        """Return what each training said: begun or done, with which settings, and in which process."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        return [tuple(json.loads(line)) for line in lines if line.endswith("]")]

    def begun(self) -> int:
        """Return how many trainings have begun, those that were killed included."""
        return len([one for one in self.trainings() if one[0] == "begun"])

    def trains(self, process: Any) -> bool:
        """Say whether a worker is in a training now: each of them naps for half a second at least."""
        said = [what for what, _, _, pid in self.trainings() if pid == process.pid]
        return bool(said) and said[-1] == "begun"

    def worker(self, number: int, attempt: int) -> Any:
        """Start a worker on its slots."""
        slots = range(number, TRIALS, WORKERS)
        specs = [self.world.trial(self.split, slot, attempt=attempt).model_dump_json() for slot in slots]
        process = CONTEXT.Process(target=take, args=(specs, str(self.log)))
        process.start()
        return process

    def kill(self, process: Any) -> None:
        """Kill a worker, and keep what then stands."""
        process.kill()
        process.join()
        self.seen.append((self.world.study(self.split).trials(), len(self.trainings())))


@pytest.fixture(scope="module")
def killed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Killed]:
    """A search that was killed ten times, and finished."""
    random, world = Random(4), SearchWorld(tmp_path_factory.mktemp("killed"), nap=0.05)
    one = Killed(world, world.opened())
    workers, seen = {number: one.worker(number, 1) for number in range(WORKERS)}, 0
    while any(process.is_alive() for process in workers.values()):
        time.sleep(0.02)
        number, begun, anywhere = random.randrange(WORKERS), one.begun(), len(one.seen) % 2
        ready = workers[number].is_alive() and (anywhere or one.trains(workers[number]))
        if len(one.seen) < KILLS and begun > seen and ready:
            time.sleep(random.uniform(0, 1.2) if anywhere else 0)  # each second one: before, in or after a training
            one.kill(workers[number])
            workers[number], seen = one.worker(number, len(one.seen) + 1), one.begun()
    assert [process.exitcode for process in workers.values()] == [0, 0]
    yield one
    world.close()


def test_every_trial_ended_once(killed: Killed) -> None:
    """24 trials, each ended; what had ended at a kill is to the letter what stands at the end."""
    trials = killed.world.study(killed.split).trials()
    assert [one.slot for one in trials] == list(range(TRIALS))
    assert {one.state for one in trials} == {"complete", "pruned"}
    assert len(killed.seen) == KILLS
    for then, _ in killed.seen:
        for before in (one for one in then if one.ended):
            assert trials[before.slot] == before


def test_no_ended_trial_was_trained_again(killed: Killed) -> None:
    """After a kill only trials that had not ended begin; those that had begun go on with their params."""
    trials, trainings = killed.world.study(killed.split).trials(), killed.trainings()
    assert len({(one.params["leaves"], one.params["rate"]) for one in trials}) == TRIALS
    for then, lines in killed.seen:
        ended = {(one.params["leaves"], one.params["rate"]) for one in then if one.ended}
        assert not ended & {(leaves, rate) for what, leaves, rate, _ in trainings[lines:] if what == "begun"}
        for begun in (one for one in then if one.state == "running" and len(one.params) == 3):
            assert trials[begun.slot].params == begun.params
    again = killed.begun() - TRIALS
    assert again >= 3, "the kills hit no training"
    assert again <= KILLS


def test_one_manifest_and_one_run_a_trial(killed: Killed) -> None:
    """Each slot has one manifest of success and one run in MLflow, which tells what the trial came to."""
    found = manifests(killed.world, "trial")
    assert [manifest.state for manifest in found] == ["success"] * TRIALS
    assert sorted(manifest.spec.params["slot"] for manifest in found) == list(range(TRIALS))
    runs = {one.info.run_name: one for one in killed.world.children(killed.split)}
    assert len(killed.world.children(killed.split)) == len(runs) == TRIALS
    for trial in killed.world.study(killed.split).trials():
        told = runs[f"trial {trial.slot}"]
        assert told.info.status == {"complete": "FINISHED", "pruned": "KILLED"}[trial.state]
        assert told.data.metrics["roc_auc"] == trial.value


def test_the_reason_and_the_winner_stand(killed: Killed) -> None:
    """The search ends as one that nobody killed: with its reason, and the best of all trials."""
    report: Report = killed.world.concluded(killed.split)
    trials = killed.world.study(killed.split).trials()
    assert (report.facts["stopped"], report.facts["trials"]) == ("all 24 trials have ended", TRIALS)
    assert report.facts["best"]["value"] == max(one.value or 0 for one in trials if one.state == "complete")
    assert report.passed
