"""Columns that give the label away are seen, each for its reason; clean data raise no alarm."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.profiles.leaks import _gini, _some, _targets, skill
from airflow_mlops_provider.backends.profiles.values import values_of
from tests.factories.looked_at import clean_sets, customers, profiled, proposed, suspects

RANDOM = np.random.default_rng(8)
CLEAN = dict(clean_sets())


def gone(frame: pd.DataFrame) -> pd.Series:
    """Return which customers left."""
    return frame["churned"] == 1


def test_nothing_is_suspected_of_clean_customers() -> None:
    """Two columns know something of the label, as they should."""
    assert suspects(customers(), label="churned") == {}


@pytest.mark.parametrize("name", CLEAN)
def test_clean_sets_raise_no_alarm(name: str) -> None:
    """Real data, with the label that is proposed for them."""
    assert [*profiled(CLEAN[name])[0].suspects] == []


def test_the_label_in_other_words() -> None:
    """A state that says the same is the same, whatever it is called."""
    frame = customers()
    found = suspects(frame.assign(state=np.where(gone(frame), "gone", "there")), label="churned")
    assert [*found] == ["state"] and found["state"].pattern == "same"


def test_another_currency_is_the_same() -> None:
    """An amount of the same order is the label again."""
    frame = customers().assign(price=lambda each: np.exp(each["usage"]), price_usd=lambda each: each["price"] * 1.1)
    assert suspects(frame, label="price")["price_usd"].pattern == "same"


@pytest.mark.parametrize("flipped", [0.0, 0.01, 0.04])
def test_what_predicts_alone(flipped: float) -> None:
    """Even if it is wrong now and then."""
    frame = customers()
    flip = RANDOM.random(len(frame)) < flipped
    refund = np.where(flip, 1 - frame["churned"], frame["churned"]) + RANDOM.choice([0.0, 0.1, 0.2], len(frame))
    found = suspects(frame.assign(refund=refund), label="churned")
    assert [*found] == ["refund"] and found["refund"].pattern == "predicts" and found["refund"].value > 0.85


def test_few_rows_prove_nothing() -> None:
    """What predicts eight rows predicts them by chance."""
    frame = pd.DataFrame({"x": [1, 1, 1, 1, 2, 2, 2, 3], "w": [5, 4, 3, 2, 1, 6, 7, 8], "y": [0, 0, 0, 0, 1, 1, 1, 1]})
    assert suspects(frame, label="y") == {}


def test_what_predicts_an_amount_alone() -> None:
    """The invoice is the price but for some rounding."""
    frame = customers().assign(price=lambda each: np.exp(each["spent"] / 3) + 2 * each["usage"] ** 2)
    noisy = frame.assign(invoice=frame["price"] * RANDOM.normal(1, 0.02, len(frame)))
    assert suspects(noisy, label="price")["invoice"].pattern == "predicts"


def test_values_that_are_there_where_the_label_is() -> None:
    """Only who left was asked why."""
    frame = customers()
    asked = gone(frame) & (RANDOM.random(len(frame)) < 0.8)
    found = suspects(frame.assign(score=np.where(asked, RANDOM.normal(size=len(frame)), np.nan)), label="churned")
    assert found["score"].pattern == "missing" and found["score"].value > 0.7


def test_few_values_that_all_mean_one_label() -> None:
    """A number that is seldom there, but then never for those who left."""
    frame = customers()
    number = np.where(~gone(frame) & (RANDOM.random(len(frame)) < 0.1), RANDOM.integers(0, 300, len(frame)), np.nan)
    found = suspects(frame.assign(body=number), label="churned")
    assert found["body"].pattern == "missing" and "same label" in found["body"].evidence


def test_what_comes_with_a_later_time_is_known_from_then_on() -> None:
    """The time of closing, and what is written down then."""
    frame = customers()
    closed = (frame["opened_at"] + pd.to_timedelta(RANDOM.gamma(2, 5, len(frame)), unit="D")).where(gone(frame))
    reason = np.where(gone(frame), RANDOM.choice(["price", "moved"], len(frame)), None)
    seen, proposal = proposed(frame.assign(closed_at=closed, reason=reason), label="churned")
    assert {suspect.column: suspect.known_later for suspect in seen.suspects} == {
        "closed_at": "closed_at",
        "reason": "closed_at",
    }
    assert proposal.known_later == {"closed_at": ("closed_at", "reason")}
    assert not {"closed_at", "reason"} & {*proposal.inputs}


def test_a_time_after_the_rows_own() -> None:
    """By its values, whatever it is called."""
    frame = customers().assign(seen_again=lambda each: each["opened_at"] + pd.Timedelta(days=3))
    found = suspects(frame, label="churned")["seen_again"]
    assert (found.pattern, found.known_later) == ("later", "seen_again") and "by 3 days" in found.evidence


@pytest.mark.parametrize("name", ["payment_result", "finalPrice", "days_after", "resolution"])
def test_a_name_alone_is_named_and_no_more(name: str) -> None:
    """It stays an input, and a person is to say."""
    seen, proposal = proposed(customers().assign(**{name: RANDOM.normal(size=3000)}), label="churned")
    assert [(each.column, each.pattern) for each in seen.suspects] == [(name, "name")]
    assert name in proposal.inputs and any(line.startswith(name) for line in proposal.decide)


def test_the_birth_weight_gives_low_birth_weight_away() -> None:
    """A threshold of another column is that column (as in R's MASS::birthwt)."""
    weight = RANDOM.normal(2900, 700, 189)
    frame = pd.DataFrame({"age": RANDOM.integers(15, 45, 189), "smoke": RANDOM.integers(0, 2, 189), "bwt": weight})
    assert [*suspects(frame.assign(low=(weight < 2500).astype(int)), label="low")] == ["bwt"]


def test_skill_is_nothing_for_noise_and_keys() -> None:
    """A column of different texts, and one of noise, know nothing of the label on rows not learned from."""
    import pyarrow as pa

    label = RANDOM.integers(0, 2, 2000)
    table = pa.table({"label": label, "noise": RANDOM.normal(size=2000), "key": [f"k{n}" for n in range(2000)]})
    values = values_of(table)[0]
    rows = _some(~values["label"].missing)
    target = _targets(values["label"], rows, classes=True)
    assert skill(values["noise"], rows, target) < 0.08 and skill(values["key"], rows, target) < 0.08


def test_the_auc_is_scikit_learns() -> None:
    """With ties, too."""
    from sklearn.metrics import roc_auc_score

    wanted, predicted = RANDOM.integers(0, 2, 500).astype(float), RANDOM.integers(0, 20, 500) / 20
    assert _gini(wanted, predicted) == pytest.approx(2 * roc_auc_score(wanted, predicted) - 1)


def test_no_set_is_left_out() -> None:
    """The claim is about more than thirty real sets."""
    assert len(CLEAN) > 30 and all(isinstance(each, pd.DataFrame | Path) for each in CLEAN.values())
