"""What kinds of problems, validators and drift methods have to keep, as tests."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.drift import base as drift
from airflow_mlops_provider.backends.validation import base as validation
from airflow_mlops_provider.exceptions import (
    ConfigurationError,
    DataValidationError,
    SourceDataError,
    UnknownNameError,
)
from airflow_mlops_provider.lifecycle.figures import Figures
from airflow_mlops_provider.lifecycle.problem import ProblemDeclaration
from airflow_mlops_provider.problems.base import PREDICTION, Problem, Truth
from airflow_mlops_provider.testing import fresh

_MARKUP = "<script>alert(1)</script>"


def _names(packages: tuple[str, ...]) -> list[str]:
    return ["numpy", "pandas", *(name.replace("-", "_") for name in packages)]


class ProblemContract:
    """What a kind of problem keeps. Override :attr:`problem`, :meth:`labels` and :meth:`scores`."""

    #: The name by which a product declares it, or the declaration with options.
    problem: str | ProblemDeclaration

    @pytest.fixture
    def labels(self) -> pd.Series:
        """At least five labels as ``examples`` may give them, none missing, and such that a model can learn from."""
        raise NotImplementedError

    @pytest.fixture
    def scores(self) -> np.ndarray:
        """A model's prediction for each of them."""
        raise NotImplementedError

    @pytest.fixture
    def kind(self) -> Problem:
        """The problem itself."""
        return problems.find(self.problem)

    def truth(self, kind: Problem, labels: pd.Series) -> Truth:
        """Return what the scores are held against; override it for a kind that takes more than labels."""
        return kind.truth(pd.DataFrame({"label": kind.labels(labels)}), "label")

    def test_looking_it_up_loads_no_library(self) -> None:
        """Products are declared where DAGs are parsed."""
        name = self.problem if isinstance(self.problem, str) else problems.find(self.problem).kind
        assert fresh.loaded_by_finding("PROBLEMS", name, "numpy", "pandas") == []

    def test_labels_have_the_declared_type(self, kind: Problem, labels: pd.Series) -> None:
        """A row keeps its place, and what was given stays as it was."""
        before = labels.copy()
        made = kind.labels(labels)
        assert made.dtype == {"string": "object"}.get(kind.label_type, kind.label_type)
        assert made.index.equals(before.index)
        pd.testing.assert_series_equal(labels, before)

    def test_what_is_not_known_yet_stays_missing(self, kind: Problem, labels: pd.Series) -> None:
        """Labels arrive late; nobody can learn from one that has not arrived."""
        late = labels.astype(object).where(labels.index != labels.index[1], None).rename("late_label")
        assert kind.labels(late).isna().sum() == 1
        if kind.learns_without_labels:
            assert kind.numbers(kind.learnable(late, "the rows to learn from")).isna().sum() == 1
        else:
            with pytest.raises(SourceDataError, match="late_label"):
                kind.learnable(late, "the rows to learn from")
        assert not kind.learnable(labels, "the rows to learn from").isna().any()

    def test_metrics_are_in_their_range(self, kind: Problem, labels: pd.Series, scores: np.ndarray) -> None:
        """Each has a name of its own, and gives a value of its range for each resample."""
        assert len({metric.name for metric in kind.metrics}) == len(kind.metrics) > 0
        truth = self.truth(kind, labels)
        for metric in kind.metrics:
            assert kind.metric(metric.name) == metric
            values = kind.weighted(metric.name, truth, scores)(np.ones((3, len(truth))))
            assert values.shape == (3,)
            assert all(metric.allows(float(value)) for value in values)
            assert len(set(values)) == 1
        with pytest.raises(UnknownNameError, match=kind.metrics[0].name):
            kind.metric("no_such_metric")

    def test_a_weight_is_a_count(self, kind: Problem, labels: pd.Series, scores: np.ndarray) -> None:
        """A row of weight two counts as two rows: intervals are made of resamples, and rest on that."""
        truth = self.truth(kind, labels)
        counts = np.resize([1, 2, 3], len(truth))
        rows = np.arange(len(truth)).repeat(counts)
        for metric in kind.metrics:
            weighted = kind.weighted(metric.name, truth, scores)(counts[None, :].astype("float64"))
            repeated = kind.weighted(metric.name, truth.part(rows), scores[rows])
            np.testing.assert_allclose(weighted, repeated(np.ones((1, counts.sum()))), rtol=1e-9)

    def test_what_can_be_no_prediction_is_refused(self, kind: Problem, scores: np.ndarray) -> None:
        """What is missing is none; what the fixture gives is."""
        assert kind.are_predictions(scores).all()
        np.testing.assert_array_equal(kind.checked(scores), scores)
        with pytest.raises(ConfigurationError, match=r"the model gives .*nan"):
            kind.checked(np.concatenate([scores, np.full_like(scores[:1], np.nan)]))

    def test_a_table_of_predictions_holds_the_scores(self, kind: Problem, scores: np.ndarray) -> None:
        """What is written of a row is what the model gave; so is the answer, which is JSON of the fields it names."""
        columns = kind.columns(scores)
        assert next(iter(columns)) == PREDICTION
        assert set(columns) == {PREDICTION, *kind.outputs}
        np.testing.assert_array_equal(kind.scores(pd.DataFrame(columns)), scores)
        answers = kind.answers(scores)
        assert [set(answer) for answer in answers] == [set(kind.answer_fields)] * len(scores)
        assert json.loads(json.dumps(answers)) == answers
        assert kind.headline(scores).shape == kind.decisions(scores).shape[:1] == (len(scores),)

    def test_there_is_something_to_be_better_than(self, kind: Problem, labels: pd.Series) -> None:
        """The naive baseline is a prediction for each row; a group that was never seen gets what all get."""
        known = pd.DataFrame({"label": kind.labels(labels), "group": np.resize(["a", "b"], len(labels))})
        plain = kind.baseline(known, known, "label", None)
        np.testing.assert_array_equal(kind.checked(plain), plain)
        assert kind.are_predictions(plain).all()
        new = kind.baseline(known, pd.DataFrame({"group": ["c"]}), "label", "group")
        assert new[0] == pytest.approx(plain[0])

    def test_what_it_shows_can_be_kept(self, kind: Problem, labels: pd.Series, scores: np.ndarray) -> None:
        """Figures are plain values; those of the worst model, too."""
        truth = self.truth(kind, labels)
        for said in (scores, scores[::-1]):
            shown = Figures(figures=kind.figures(truth, said))
            assert Figures.from_file(shown.to_file()) == shown

    def test_rows_to_judge_by_are_needed(self, kind: Problem, labels: pd.Series) -> None:
        """Of no row nothing can be said, and it is said why; of the fixture's it can."""
        truth = self.truth(kind, labels)
        assert kind.flaw(truth)(np.zeros(len(truth)))
        assert not kind.flaw(truth)(np.ones(len(truth)))
        assert kind.unfit(labels[:0])
        assert not kind.unfit(kind.labels(labels))


class ValidatorContract:
    """What a validator keeps. Override :attr:`validator`, :meth:`table`, :meth:`kept` and :meth:`broken`."""

    #: The name by which a product declares it.
    validator: str

    @pytest.fixture
    def table(self) -> pd.DataFrame:
        """Some data."""
        raise NotImplementedError

    @pytest.fixture
    def kept(self) -> list[Any]:
        """Expectations that hold of the table, each of a column."""
        raise NotImplementedError

    @pytest.fixture
    def broken(self) -> list[Any]:
        """Expectations that do not, none of them."""
        raise NotImplementedError

    def validate(
        self, table: pd.DataFrame, expectations: list[Any], folder: Path, **left_out: int
    ) -> validation.Verdict:
        """Validate into a new folder."""
        folder.mkdir()
        return validation.validator_of(self.validator).validate(table, expectations, "shop.sales", folder, left_out)

    def test_looking_it_up_loads_no_library(self) -> None:
        """Whoever computes an address looks it up: a task, before any job is started."""
        libraries = _names(validation.validator_of(self.validator).packages)
        assert fresh.loaded_by_finding("VALIDATORS", self.validator, *libraries) == []

    def test_what_holds_passes(self, table: pd.DataFrame, kept: list[Any], tmp_path: Path) -> None:
        """The verdict counts what was checked, and there is a page."""
        verdict = self.validate(table, kept, tmp_path / "a")
        assert (verdict.passed, verdict.broken, verdict.checked) == (True, (), len(kept))
        assert (tmp_path / "a" / validation.PAGE).read_text("utf-8").strip()

    def test_what_does_not_hold_is_said(
        self, table: pd.DataFrame, kept: list[Any], broken: list[Any], tmp_path: Path
    ) -> None:
        """A line for each, and the page all the same: evidence first."""
        verdict = self.validate(table, [*kept, *broken], tmp_path / "a")
        assert not verdict.passed
        assert len(verdict.broken) == len(broken)
        assert all(line.strip() for line in verdict.broken)
        assert (tmp_path / "a" / validation.PAGE).is_file()

    def test_what_cannot_be_evaluated_is_broken(self, table: pd.DataFrame, kept: list[Any], tmp_path: Path) -> None:
        """A column that is missing is no reason to raise, and none to pass."""
        verdict = self.validate(table.add_prefix("other_"), kept, tmp_path / "a")
        assert not verdict.passed
        assert len(verdict.broken) == len(kept)

    def test_the_same_again_is_the_same(self, table: pd.DataFrame, broken: list[Any], tmp_path: Path) -> None:
        """Verdict and files, byte for byte; data and expectations stay as they were."""
        before = table.copy(deep=True)
        verdicts = [self.validate(table, broken, tmp_path / name) for name in ("a", "b")]
        assert verdicts[0] == verdicts[1]
        for file in (tmp_path / "a").iterdir():
            assert file.read_bytes() == (tmp_path / "b" / file.name).read_bytes()
        pd.testing.assert_frame_equal(table, before)

    def test_rows_left_out_are_a_warning(self, table: pd.DataFrame, kept: list[Any], tmp_path: Path) -> None:
        """They are counted and shown, and stop nothing; markup in what is shown is text."""
        verdict = self.validate(table, kept, tmp_path / "a", **{_MARKUP: 3})
        assert verdict.passed
        assert any("3" in line for line in verdict.warnings)
        assert _MARKUP not in (tmp_path / "a" / validation.PAGE).read_text("utf-8")


class DriftMethodContract:
    """What a drift method keeps. Override :attr:`drift_method`."""

    #: The name by which a product declares it.
    drift_method: str

    def rows(self, seed: int, shift: float = 0.0) -> pd.DataFrame:
        """Return model inputs and predictions, each moved so far."""
        random, rows = np.random.default_rng(seed), 600
        kinds = ["b", "c"] if shift else ["a", "b"]
        return pd.DataFrame(
            {
                "hour": random.normal(10 + shift, 2, rows),
                "kind": random.choice(kinds, rows),
                "prediction": random.normal(0.4 + shift / 10, 0.1, rows),
            }
        )

    def measure(
        self,
        reference: pd.DataFrame,
        current: pd.DataFrame,
        folder: Path,
        predictions: tuple[str, ...] = ("prediction",),
        **limits: float,
    ) -> drift.Drift:
        """Compare, and keep the page in a new folder."""
        folder.mkdir()
        method = drift.drift_method_of(self.drift_method)
        return method.drift(
            reference, current, predictions=predictions, limits=limits, folder=folder, sample=500, seed=7
        )

    def test_looking_it_up_loads_no_library(self) -> None:
        """Whoever computes an address looks it up: a task, before any job is started."""
        libraries = _names(drift.drift_method_of(self.drift_method).packages)
        assert fresh.loaded_by_finding("DRIFT_METHODS", self.drift_method, *libraries) == []

    def test_what_moved_has_drifted(self, tmp_path: Path) -> None:
        """Other data of the same kind has not, data from elsewhere has; each input has its figures. There is a page."""
        reference = self.rows(1)
        same = self.measure(reference, self.rows(2), tmp_path / "same")
        moved = self.measure(reference, self.rows(2, shift=8.0), tmp_path / "moved")
        assert (same.share, moved.share) == (0.0, 1.0)
        assert 0 <= (same.prediction or 0) < (moved.prediction or 0)
        assert set(same.columns) == set(moved.columns) == {"hour", "kind"}
        assert all(column["drifted"] for column in moved.columns.values())
        assert (tmp_path / "moved" / drift.PAGE).read_text("utf-8").strip()

    def test_the_same_again_is_the_same(self, tmp_path: Path) -> None:
        """The sample depends on the seed alone; order and further columns of the current side make no difference."""
        reference, current = self.rows(1), self.rows(2, shift=0.5)
        first = self.measure(reference, current, tmp_path / "a")
        assert self.measure(reference, current[[*current.columns[::-1]]].assign(other=1), tmp_path / "b") == first

    def test_two_tables_without_predictions(self, tmp_path: Path) -> None:
        """Every column counts then."""
        measured = self.measure(self.rows(1), self.rows(2, shift=8.0), tmp_path / "a", predictions=())
        assert (measured.share, measured.prediction) == (1.0, None)
        assert set(measured.columns) == {"hour", "kind", "prediction"}

    def test_a_column_may_have_a_limit_of_its_own(self, tmp_path: Path) -> None:
        """From that distance on it has drifted; the others keep theirs."""
        sides = self.rows(1), self.rows(2, shift=8.0)
        measured = self.measure(*sides, tmp_path / "far", hour=1000.0)
        assert {name for name, column in measured.columns.items() if column["drifted"]} == {"kind"}
        assert (measured.columns["hour"]["threshold"], measured.share) == (1000.0, 0.5)
        assert self.measure(*sides, tmp_path / "near", hour=0.001).share == 1.0

    def test_values_that_went_are_named(self, tmp_path: Path) -> None:
        """An input whose values are missing now has drifted, and it is said what was missing and is."""
        gone = self.rows(2).assign(hour=np.nan)
        measured = self.measure(self.rows(1), gone, tmp_path / "a")
        assert measured.columns["hour"]["drifted"]
        assert list(measured.missing["hour"]) == [0.0, 1.0]

    def test_what_cannot_be_compared_is_refused(self, tmp_path: Path) -> None:
        """Nothing on a side, a missing input, missing predictions: no retry helps, and no share is made of it."""
        good = self.rows(1)
        for number, (reference, current) in enumerate(
            [
                (good.iloc[:0], good),
                (good, good.iloc[:0]),
                (good, good.drop(columns="hour")),
                (good, good.drop(columns="prediction")),
                (good, good.assign(prediction="high")),
            ]
        ):
            with pytest.raises(DataValidationError):
                self.measure(reference, current, tmp_path / str(number))
