"""A whole search, job by job, without a scheduler: what is tried, pruned, stopped, concluded and told to MLflow."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType

import pandas as pd
import pytest

from airflow_mlops_provider.jobs.experimentation.study import load_stop
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.settings import TrainerSettings
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import open_store
from tests.factories.search import ROWS, SearchWorld, done
from tests.factories.tiny import manifests

TRIALS = 8
ABSENT = """

def absent():
    import no_such_library
"""


class Searched:
    """A search of some trials that has been concluded.

    :param trials: each slot's report.
    """

    def __init__(self, folder: Path) -> None:
        self.world = SearchWorld(folder)
        self.split: Dataset = self.world.opened(trials=TRIALS)
        specs = [self.world.trial(self.split, slot, trials=TRIALS) for slot in range(TRIALS)]
        self.trials: list[Report] = [done(run(spec), Report) for spec in specs]
        self.report = self.world.concluded(self.split, trials=TRIALS)


@pytest.fixture(scope="module")
def searched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Searched]:
    """A search of eight trials."""
    one = Searched(tmp_path_factory.mktemp("searched"))
    yield one
    one.world.close()


def test_the_rows_are_split_by_time_within_the_training_part(searched: Searched) -> None:
    """Later rows judge earlier ones, no label comes from after the cut, and the evaluation window is nowhere."""
    folder = Path(searched.split.uri.removeprefix("file://"))
    train, validate = (pd.read_parquet(folder / f"{part}.parquet") for part in ("train", "validate"))
    cut = validate["event_time"].min()
    assert train["event_time"].max() < cut
    assert train["known_at"].max() < cut
    assert len(validate) == ROWS // 4
    evaluation = pd.read_parquet(
        next((searched.world.root / searched.world.name / "training_set").rglob("evaluate.parquet"))
    )
    assert validate["event_time"].max() < evaluation["event_time"].min()
    assert sorted(path.name for path in folder.iterdir()) == ["train.parquet", "validate.parquet"]


def test_an_algorithm_that_is_not_installed_is_left_out(searched: Searched) -> None:
    """It is not tried, and the report says why, on its page too, with the line that installs it."""
    assert searched.report.facts["left_out"]["net"].startswith("no-such-package")
    assert "pip install no-such-package" in searched.report.facts["left_out"]["net"]
    assert {one.facts["algorithm"] for one in searched.trials} == {"trees"}
    page = (Path(searched.report.uri.removeprefix("file://")) / "search.html").read_text()
    assert "net was left out: no-such-package" in page
    assert "pip install no-such-package" in page


def test_the_current_settings_are_tried_first(searched: Searched) -> None:
    """Slot 0 has the settings of the product's file; what wins beats what they reach."""
    settings = TrainerSettings.read(searched.world.package / "settings.json").settings
    params = searched.trials[0].facts["params"]
    assert params == {name: settings[name] for name in params}
    facts = searched.report.facts
    assert facts["current"] == searched.trials[0].facts["value"]
    assert facts["baseline"] == 0.5 < facts["current"] < facts["best"]["value"]
    assert (searched.report.passed, searched.report.broken) == (True, ())


def test_some_are_pruned_with_a_reason(searched: Searched) -> None:
    """Trials below the median end early; they keep what they reported, and the others every value."""
    states = Counter(one.facts["state"] for one in searched.trials)
    assert states["pruned"] >= 1
    assert states["complete"] >= 3
    for trial in searched.world.study(searched.split).trials():
        if trial.state == "pruned":
            assert trial.reason is not None
            assert "below the median" in trial.reason
            assert len(trial.values) < 6
        else:
            assert list(trial.values) == [1, 3, 5, 7, 9, 11]


def test_the_report_says_what_won_and_why_it_stopped(searched: Searched) -> None:
    """The best complete trial as the trainer that it is; the reason in report, study, MLflow and beside the ledger."""
    facts, world = searched.report.facts, searched.world
    best = max((one for one in searched.trials if one.facts["state"] == "complete"), key=lambda one: one.facts["value"])
    told = facts["best"]
    assert (told["trial"], told["value"]) == (best.facts["slot"], best.facts["value"])
    assert (told["algorithm"], told["code"], told["flavor"]) == ("trees", f"{world.name}.trainer:train", "lightgbm")
    assert told["settings"] == {"rounds": 12, "nap": 0.0, **best.facts["params"]}
    assert (told["seed"], told["metric"], told["requires"]) == (13, "roc_auc", ["lightgbm", "numpy"])
    reason = f"all {TRIALS} trials have ended"
    assert (facts["stopped"], facts["trials"], facts["study"]) == (reason, TRIALS, searched.split.facts["study"])
    assert world.study(searched.split).facts()["stopped"] == {"kind": "trials", "reason": reason}
    assert world.product.search
    criteria = world.product.search.criteria(trials=TRIALS)
    kept = load_stop(open_store(str(world.root)), world.name, facts["study"], criteria)
    assert kept
    assert kept.reason == reason
    parent = world.mlflow.client.get_run(facts["mlflow_run"])
    assert parent.data.tags["mlops.stopped"] == reason
    assert parent.info.status == "FINISHED"


def test_mlflow_has_a_run_for_each_trial(searched: Searched) -> None:
    """One run a slot below the search's run, with settings, values by step, state, and the drawing of them all."""
    client, children = searched.world.mlflow.client, searched.world.children(searched.split)
    assert len(children) == TRIALS
    status = {"complete": "FINISHED", "pruned": "KILLED"}
    for trial in searched.world.study(searched.split).trials():
        (run_of,) = [one for one in children if one.info.run_name == f"trial {trial.slot}"]
        assert run_of.info.status == status[trial.state]
        assert run_of.data.params["leaves"] == str(trial.params["leaves"])
        assert run_of.data.metrics["roc_auc"] == trial.value
        history = client.get_metric_history(run_of.info.run_id, "reported")
        assert {one.step: one.value for one in history} == trial.values
    files = {one.path for one in client.list_artifacts(searched.report.facts["mlflow_run"])}
    assert files == {"comparison.svg", "search.html", "trials.json"}


def test_the_page_stands_alone(searched: Searched) -> None:
    """The page and the drawing name every trial, and load nothing from elsewhere."""
    folder = Path(searched.report.uri.removeprefix("file://"))
    page, drawing = (folder / "search.html").read_text(), (folder / "comparison.svg").read_text()
    for text in (page, drawing):
        assert all(f"trial {slot}: " in text for slot in range(TRIALS))
        assert "<script" not in text
        assert text.replace("http://www.w3.org/2000/svg", "").count("http") == 0
    assert drawing.startswith("<svg xmlns=")
    for setting in ("leaves", "rate", "part"):
        assert f"trees: {setting}" in drawing


def test_a_finished_trial_is_not_trained_again(searched: Searched, monkeypatch: pytest.MonkeyPatch) -> None:
    """Asked for by another run, even by force, an ended trial is told again: nothing trains, nothing is added."""
    log = searched.world.root / "trainings.log"
    monkeypatch.setenv("TRAININGS", str(log))
    before = searched.world.study(searched.split).trials()
    for force in (False, True):
        spec = searched.world.trial(searched.split, 2, attempt=2, trials=TRIALS)
        again = done(run(spec.model_copy(update={"force": force})), Report)
        assert again.facts == searched.trials[2].facts
    assert not log.exists()
    assert searched.world.study(searched.split).trials() == before
    assert len(searched.world.children(searched.split)) == TRIALS
    assert len(manifests(searched.world, "trial")) == TRIALS


def test_a_search_goes_on_where_it_was(searched: Searched) -> None:
    """The same search with more trials is the same study: what was found counts, and its first slots are not new."""
    more = searched.world.opened(trials=TRIALS + 2)
    assert more.facts["study"] == searched.split.facts["study"]
    assert more.hash == searched.split.hash
    states = [one.state for one in searched.world.study(more).trials()]
    assert states[TRIALS:] == ["waiting", "waiting"]
    assert "waiting" not in states[:TRIALS]
    assert searched.world.concluded(more, trials=TRIALS).facts["trials"] == TRIALS
    unfinished = searched.world.concluded(more, trials=TRIALS + 2)
    assert unfinished.facts["stopped_by"] == "unfinished"
    assert "8 trials have ended, others were given up" in unfinished.facts["stopped"]


def test_who_comes_too_late_is_told_why(searched: Searched) -> None:
    """A slot that begins after the target was reached does not train, and says so; one with another target does."""
    world = searched.world
    more = world.opened(trials=TRIALS + 2, target=0.6)
    late = done(run(world.trial(more, TRIALS, trials=TRIALS + 2, target=0.6)), Report)
    first = searched.trials[0].facts
    assert late.facts == {
        "slot": TRIALS,
        "skipped": f"trial 0 reached {first['value']:.4f}, the target is 0.6",
    }
    assert world.study(more).trials()[TRIALS].state == "waiting"
    ended = done(run(world.trial(more, TRIALS, trials=TRIALS + 2, target=0.99)), Report)
    assert ended.facts["state"] in {"complete", "pruned"}
    report = world.concluded(more, trials=TRIALS + 2, target=0.99)
    assert report.facts["needs_data_change"].startswith("no trial reaches the target 0.99: the best reached 0.")


def test_a_package_that_a_trial_lacks_costs_no_trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A trial that runs where a declared package is missing fails with its pip line; once it is there, it goes on."""
    world = SearchWorld(tmp_path)
    declared = (world.package / "product.py").read_text()
    world.write("product.py", declared.replace('requires=("no-such-package",)', 'requires=("no-such-library",)'))
    trainer = (world.package / "trainer.py").read_text()
    world.write("trainer.py", trainer.replace("    import lightgbm", "    import lightgbm\n\n    absent()"))
    world.write("trainer.py", (world.package / "trainer.py").read_text() + ABSENT)
    split = world.opened(trials=2)
    failure = run(world.trial(split, 0, trials=2)).failure
    assert failure is not None
    assert (failure.error, failure.retryable) == ("MissingExtraError", False)
    assert "pip install no-such-library" in failure.message
    assert world.study(split).trials()[0].state == "running"
    monkeypatch.setitem(sys.modules, "no_such_library", ModuleType("no_such_library"))
    done(run(world.trial(split, 0, attempt=2, trials=2)), Report)
    assert world.study(split).trials()[0].state == "complete"
    world.close()


def test_a_person_may_say_that_the_data_must_change(searched: Searched) -> None:
    """What a person writes goes with the report, whatever the figures say."""
    note = "the shops' opening hours are missing"
    assert searched.world.concluded(searched.split, note, trials=TRIALS).facts["needs_data_change"] == note
    assert searched.report.facts["needs_data_change"] is None
