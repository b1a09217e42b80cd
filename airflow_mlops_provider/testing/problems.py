"""What kinds of problems have to keep, as tests."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider import problems
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, UnknownNameError
from airflow_mlops_provider.lifecycle.figures import Figures
from airflow_mlops_provider.lifecycle.problem import ProblemDeclaration, name_of
from airflow_mlops_provider.problems.base import PREDICTION, Problem, Truth
from airflow_mlops_provider.testing import fresh


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

    def rows(self, kind: Problem, labels: pd.Series) -> pd.DataFrame:
        """Return the rows of these labels; override it for a kind that takes more than labels."""
        return pd.DataFrame({"label": kind.labels(labels)})

    def truth(self, kind: Problem, labels: pd.Series) -> Truth:
        """Return what the scores are held against."""
        return kind.truth(self.rows(kind, labels), "label")

    def weighed(self, truth: Truth) -> np.ndarray:
        """Return the number of what each row's weight is of: the row. Override it where a metric is of whole groups."""
        return np.arange(len(truth))

    def test_looking_it_up_loads_no_library(self) -> None:
        """Products are declared where DAGs are parsed."""
        name = self.problem if isinstance(self.problem, str) else self.problem.kind or name_of(type(self.problem))
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
        metrics = kind.available_metrics
        assert len({metric.name for metric in metrics}) == len(metrics) > 0
        assert all(metric in kind.metrics for metric in metrics)
        truth = self.truth(kind, labels)
        for metric in metrics:
            assert kind.metric(metric.name) == metric
            values = kind.weighted(metric.name, truth, scores)(np.ones((3, len(truth))))
            assert values.shape == (3,)
            assert all(metric.allows(float(value)) for value in values)
            assert len(set(values)) == 1
        with pytest.raises(UnknownNameError, match=metrics[0].name):
            kind.metric("no_such_metric")

    def test_a_weight_is_a_count(self, kind: Problem, labels: pd.Series, scores: np.ndarray) -> None:
        """What has weight two counts as two of it: intervals are made of resamples, and rest on that."""
        truth = self.truth(kind, labels)
        of = self.weighed(truth)
        counts = np.resize([1, 2, 3], of.max() + 1)[of]
        rows = np.arange(len(truth)).repeat(counts)
        twin = np.concatenate([np.arange(count) for count in counts])
        again = truth.part(rows)
        if again.group is not None:  # a group that comes twice is two
            again = replace(again, group=again.group + twin * len(truth))
        for metric in kind.available_metrics:
            weighted = kind.weighted(metric.name, truth, scores)(counts[None, :].astype("float64"))
            repeated = kind.weighted(metric.name, again, scores[rows])
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
        known = self.rows(kind, labels).assign(group=np.resize(["a", "b"], len(labels)))
        plain = kind.baseline(known, known, "label", None)
        np.testing.assert_array_equal(kind.checked(plain), plain)
        assert kind.are_predictions(plain).all()
        new, first = known.drop(columns="label").assign(group="c"), known[:1].assign(group="all")
        of_all = kind.baseline(known.assign(group="all"), first, "label", "group")
        np.testing.assert_allclose(kind.baseline(known, new, "label", "group"), np.repeat(of_all, len(new), axis=0))

    def test_what_it_shows_can_be_kept(self, kind: Problem, labels: pd.Series, scores: np.ndarray) -> None:
        """Figures are plain values; those of a bad model, too."""
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
