"""What validators and drift methods have to keep, as tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.drift import base as drift
from airflow_mlops_provider.backends.validation import base as validation
from airflow_mlops_provider.exceptions import DataValidationError
from airflow_mlops_provider.testing import fresh

_MARKUP = "<script>alert(1)</script>"


def _names(packages: tuple[str, ...]) -> list[str]:
    return ["numpy", "pandas", *(name.replace("-", "_") for name in packages)]


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
