"""Labels are proven, not assumed: which rows have one, when, and how late they come."""

from __future__ import annotations

import numpy as np
import pytest

from airflow_mlops_provider.backends.profiles.label import isotonic
from tests.factories.looked_at import customers, late, profiled, proposed, vega


@pytest.fixture
def days() -> np.ndarray:
    """Return how late labels come, in days: 26 by their median, 54 for 95 % of them."""
    return np.random.default_rng(5).gamma(4, 7, 3000)


def test_a_second_time_says_how_late_labels_come(days: np.ndarray) -> None:
    """It is there where the label is, and never before its row."""
    seen, proposal = proposed(late(customers(), days), label="churned")
    assert seen.label and seen.label.delay and seen.label.delay.known_at == "known_at"
    assert seen.label.delay.median == pytest.approx(np.median(days), rel=0.05)
    assert seen.label.delay.most == pytest.approx(np.quantile(days, 0.95), rel=0.05)
    assert "known_at" not in proposal.inputs and proposal.label_known_at == "known_at"
    assert (proposal.delivery.grain, proposal.windows.wait) == ("month", 2)  # 56 days


def test_the_newest_rows_say_how_late_labels_come(days: np.ndarray) -> None:
    """Without such a time, it follows from which ages have no label yet; what never comes is no delay."""
    frame = late(customers(), days).drop(columns="known_at")
    never = np.random.default_rng(6).random(3000) < 0.2
    seen, proposal = proposed(frame.assign(churned=frame["churned"].mask(never)), label="churned")
    delay = seen.label.delay if seen.label else None
    assert delay and delay.known_at is None and delay.coming == pytest.approx(0.8, abs=0.03)
    assert delay.median == pytest.approx(np.median(days), rel=0.25)
    assert delay.most == pytest.approx(np.quantile(days, 0.95), rel=0.3)
    assert proposal.label_delay_days == delay.most


def test_the_share_known_by_period(days: np.ndarray) -> None:
    """The proof is by time: all of the old ones, few of the new ones."""
    seen, _ = profiled(late(customers(), days), label="churned")
    assert seen.time and seen.label
    known = seen.label.known_by_period
    assert known[0] == 1 and known[-1] < 0.2 and len(known) == len(seen.time.periods.rows)
    assert seen.label.known == pytest.approx(sum(map(float.__mul__, known, map(float, seen.time.periods.rows))) / 3000)


def test_gaps_at_any_age_are_no_delay() -> None:
    """What is missing everywhere does not come late; a person is to say whether it comes at all."""
    frame = customers()
    gaps = np.random.default_rng(7).random(3000) < 0.2
    seen, proposal = proposed(frame.assign(churned=frame["churned"].mask(gaps)), label="churned")
    assert seen.label and seen.label.delay is None
    assert any("will they ever have one" in line for line in proposal.decide)


@pytest.mark.parametrize("name", ["seattle-weather.csv", "stocks.csv", "us-employment.csv", "cars.json"])
def test_whole_data_have_no_delay(name: str) -> None:
    """No delay is made up where all rows, or the newest too, have their label."""
    seen, _ = profiled(vega(name))
    assert seen.label and seen.label.delay is None


def test_isotonic_regression() -> None:
    """Violators are pooled with their weights, as in the textbooks; what rises already stays."""
    np.testing.assert_allclose(isotonic(np.array([1.0, 3, 2, 4]), np.array([1, 1, 3, 1])), [1, 2.25, 2.25, 4])
    rising = np.array([0.0, 0.1, 0.5, 1.0])
    np.testing.assert_allclose(isotonic(rising, np.ones(4, dtype=np.int64)), rising)
