"""Trials on two workers of a real Airflow, killed in the middle: none lost, none twice, the winner on a branch.

``MLOPS_TEST_TRIALS`` says how many: a CI job takes 24.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.backends.search.optuna.study import SearchStudy
from airflow_mlops_provider.demo.local_airflow.stack import Stack
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.search.trials import Trial
from airflow_mlops_provider.lifecycle.settings import TrainerSettings, branch_of
from tests.factories.forge import bare, branches, git, repository
from tests.factories.search import SearchWorld
from tests.factories.stack import pids, restart, running
from tests.factories.tiny import manifests

pytestmark = [pytest.mark.system, pytest.mark.timeout(900)]
DAG = Path(__file__).parents[2] / "dags" / "experimentation.py"
TRIALS = int(os.environ.get("MLOPS_TEST_TRIALS", "12"))
NOTE = "the shops' opening hours are missing"
# By default Airflow gives a silent task five minutes and a silent scheduler half a minute.
QUICK = {
    "CORE__PARALLELISM": "2",
    "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
    "MLOPS__RETRY_SECONDS": "1",
    "MLOPS__SEARCH_PARALLEL": "2",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "10",
    "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "1",
    "SCHEDULER__SCHEDULER_HEARTBEAT_SEC": "1",
    "SCHEDULER__SCHEDULER_HEALTH_CHECK_THRESHOLD": "10",
    "SCHEDULER__ORPHANED_TASKS_CHECK_INTERVAL": "2",
}


@dataclass
class Experiment:
    """One run of the experimentation pipeline, on a product whose code is in a repository with a bare remote.

    :param seen: the trials as they stood at each kill.
    """

    world: SearchWorld
    remote: Path
    stack: Stack
    run_id: str = ""
    seen: list[list[Trial]] = field(default_factory=list)

    @property
    def dag_id(self) -> str:
        return f"{self.world.name}_experimentation"

    def trials(self) -> list[Trial]:
        """Return the trials as they now stand; none before there is a study."""
        opened = manifests(self.world, "search")
        return SearchStudy(self.study, self.world.url).trials() if opened else []

    @property
    def study(self) -> str:
        (opened,) = manifests(self.world, "search")
        assert opened.result
        return str(opened.result.facts["study"])

    @property
    def report(self) -> Report:
        (concluded,) = manifests(self.world, "conclude")
        assert isinstance(concluded.result, Report), concluded.failure
        return concluded.result

    def jobs(self) -> list[psutil.Process]:
        """Return the processes of trials that run now."""
        return running(self.stack, "trial")

    def ended(self, count: int) -> bool:
        """Say whether so many trials have ended."""
        return len([one for one in self.trials() if one.ended]) >= count

    def state(self) -> str:
        """Return the run's state."""
        return str(self.stack.api.get(f"dags/{self.dag_id}/dagRuns/{self.run_id}")["state"])

    def tasks(self) -> list[dict[str, Any]]:
        """Return the run's task instances."""
        return self.stack.api.task_instances(self.dag_id, self.run_id)


@pytest.fixture(scope="module")
def experiment(
    stack_factory: Callable[..., Stack], prepared_home: Callable[[], Path], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Experiment]:
    """An experiment that lost a trial's job, then the scheduler with its workers and all that ran, and finished."""
    folder = tmp_path_factory.mktemp("experiment")
    world = SearchWorld(folder, nap=0.05)
    world.featured()
    world.mlflow.prepare()
    files = {f"shops/{world.name}/{one.name}": one.read_text() for one in world.package.glob("*.*")}
    remote = bare(repository(folder / "checkout", files), folder / "remote.git")
    (folder / "dags").mkdir()
    shutil.copy(DAG, folder / "dags")
    stack = stack_factory(folder / "dags", home=prepared_home(), env=environment(world, remote))
    one = Experiment(world, remote, stack)
    until(lambda: one.dag_id in {dag["dag_id"] for dag in stack.api.get("dags")["dags"]}, 90)
    stack.api.call("PATCH", f"dags/{one.dag_id}", body={"is_paused": False})
    one.run_id = stack.api.trigger(one.dag_id, {"needs_data_change": NOTE, "trials": TRIALS})
    for count, lose in ((TRIALS // 6, lose_job), (TRIALS // 2, lose_scheduler_and_workers)):
        until(lambda count=count: one.ended(count), 240)  # type: ignore[misc]
        until(lambda: one.jobs() and any(trial.state == "running" for trial in one.trials()))
        lose(one)
        one.seen.append(one.trials())
    restart(stack, "scheduler", timeout=120)
    until(lambda: one.state() in {"success", "failed"}, 300)
    yield one
    world.close()


def environment(world: SearchWorld, remote: Path) -> dict[str, str]:
    """Return what makes an Airflow search for this product, and commit to this remote."""
    settings = {
        **QUICK,
        "MLOPS__PRODUCTS_FOLDERS": str(world.products),
        "MLOPS__ARTIFACT_ROOT": str(world.root),
    }
    source = {"remote": remote.as_uri(), "path": "shops/{product}"}
    return {
        **{f"AIRFLOW__{name}": value for name, value in settings.items()},
        "AIRFLOW_CONN_MLOPS_SOURCE": json.dumps({"conn_type": "mlops_source", "extra": source}),
        "PYTHONPATH": str(DAG.parents[1]),
    }


def lose_job(one: Experiment) -> None:
    """Kill a trial's process: its task notices at once."""
    one.jobs()[0].send_signal(signal.SIGKILL)


def lose_scheduler_and_workers(one: Experiment) -> None:
    """Kill scheduler, workers, tasks and their jobs, as a machine that loses power would."""
    scheduler = psutil.Process(pids(one.stack)["scheduler"])
    victims = [scheduler, *scheduler.children(recursive=True), *one.jobs()]
    for victim in victims:
        try:
            victim.send_signal(signal.SIGKILL)
        except psutil.NoSuchProcess:
            continue
    psutil.wait_procs(victims, timeout=10)


def until(answer: Callable[[], Any], seconds: float = 60) -> Any:
    """Return the first answer that is true."""
    deadline = time.monotonic() + seconds
    while not (value := answer()):
        assert time.monotonic() < deadline, f"not within {seconds} s"
        time.sleep(0.1)
    return value


def test_the_run_succeeds(experiment: Experiment) -> None:
    """Each task ends well, the trials among them, and those that were killed had to be tried again for it."""
    tasks = experiment.tasks()
    assert experiment.state() == "success", [(task["task_id"], task["state"]) for task in tasks]
    trials = [task for task in tasks if task["task_id"] == "experimentation.trial"]
    assert Counter(task["state"] for task in trials) == {"success": TRIALS}
    assert max(task["try_number"] for task in trials) > 1


def test_no_trial_is_lost_and_none_is_run_twice(experiment: Experiment) -> None:
    """As many trials in the database, runs in MLflow and manifests; what had ended at a kill is left as it was."""
    trials = experiment.trials()
    assert [one.slot for one in trials] == list(range(TRIALS))
    assert {one.state for one in trials} == {"complete", "pruned"}
    for then in experiment.seen:
        assert all(trials[before.slot] == before for before in then if before.ended)
    assert any(before.state == "running" for then in experiment.seen for before in then)
    found = manifests(experiment.world, "trial")
    assert sorted(one.spec.params["slot"] for one in found) == list(range(TRIALS))
    assert {one.state for one in found} == {"success"}
    client = experiment.world.mlflow.client
    children = client.search_runs([client.get_experiment_by_name(f"{experiment.world.name}.search").experiment_id])
    below = [
        one for one in children if one.data.tags.get("mlflow.parentRunId") == experiment.report.facts["mlflow_run"]
    ]
    assert sorted(one.info.run_name for one in below) == sorted(f"trial {slot}" for slot in range(TRIALS))
    assert Counter(one.info.status for one in below) == {
        "FINISHED": sum(one.state == "complete" for one in trials),
        "KILLED": sum(one.state == "pruned" for one in trials),
    }


def test_the_stop_reason_is_kept(experiment: Experiment) -> None:
    """Report, study and MLflow give the same reason."""
    facts = experiment.report.facts
    assert (facts["stopped"], facts["trials"]) == (f"all {TRIALS} trials have ended", TRIALS)
    known = SearchStudy(experiment.study, experiment.world.url).facts()
    assert known["stopped"] == {"kind": "trials", "reason": facts["stopped"]}
    parent = experiment.world.mlflow.client.get_run(facts["mlflow_run"])
    assert parent.data.tags["mlops.stopped"] == facts["stopped"]


def test_the_winner_is_a_commit_on_a_branch(experiment: Experiment) -> None:
    """The remote has one more branch, one commit ahead of main, with the winner's settings in the one file changed."""
    name, best = experiment.world.name, experiment.report.facts["best"]
    branch = branch_of(name, experiment.study)
    assert set(branches(experiment.remote)) == {"main", branch}
    assert git(experiment.remote, "rev-list", "--count", f"main..{branch}") == "1"
    file = f"shops/{name}/settings.json"
    assert git(experiment.remote, "diff", "--name-only", "main", branch) == file
    settings = TrainerSettings.parse(git(experiment.remote, "show", f"{branch}:{file}"))
    assert settings.settings == best["settings"]
    assert settings.provenance
    assert (settings.provenance.trial, settings.provenance.value) == (best["trial"], best["value"])


def test_data_engineering_is_asked(experiment: Experiment) -> None:
    """What the form said of the data became a request to the product's data engineer."""
    (asked,) = [task for task in experiment.tasks() if task["task_id"] == "feedback.ask_for_data"]
    assert asked["state"] == "success"
    events = [event for event in experiment.stack.api.asset_events() if event["extra"].get("what") == NOTE]
    assert [event["extra"]["to"] for event in events] == [experiment.world.product.business.owners.data_engineer]
