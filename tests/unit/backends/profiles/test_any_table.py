"""Whatever is in a table, it is looked at, proposed for and reported on; or refused by an error of ours."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.jobs.initiation.page import page
from airflow_mlops_provider.lifecycle.initiation.profile import Profile
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from tests.factories.looked_at import looked, proposed

COLUMNS: tuple[Callable[[np.random.Generator, int], object], ...] = (
    lambda random, rows: random.normal(size=rows),
    lambda random, rows: random.normal(size=rows) * 1e300,
    lambda random, rows: np.where(random.random(rows) < 0.5, np.inf, 1.0),
    lambda random, rows: np.where(random.random(rows) < 0.9, np.nan, 1.0),
    lambda random, rows: np.full(rows, np.nan),
    lambda random, rows: np.full(rows, 1.0 + 1e-16),
    lambda random, rows: random.integers(0, 3, rows),
    lambda random, rows: random.integers(-(2**62), 2**62, rows),
    lambda random, rows: random.integers(0, 2, rows).astype("uint64") * 2**63,
    lambda random, rows: random.integers(1990, 2020, rows),
    lambda random, rows: random.random(rows) < 0.5,
    lambda random, rows: [None] * rows,
    lambda random, rows: [["list"]] * rows,
    lambda random, rows: [f"<b>&'\" {number}" for number in range(rows)],
    lambda random, rows: random.choice(["a", "b", ""], rows),
    lambda random, rows: random.choice(["yes", "no", None], rows),  # type: ignore[list-item]
    lambda random, rows: random.choice(["1,5", "2,75", "NA"], rows),
    lambda random, rows: random.choice(["a|b", "b", "c|a|b"], rows),
    lambda random, rows: random.choice(["2020-01-01", "9999-12-31", "0001-01-01"], rows),
    lambda random, rows: pd.date_range("1800", periods=rows, freq="D"),
    lambda random, rows: pd.Timestamp("2020") + pd.to_timedelta(random.integers(0, 10**8, rows), unit="s"),
    lambda random, rows: pd.to_timedelta(random.integers(0, 100, rows), unit="h"),
    lambda random, rows: pd.Categorical(random.choice(["x", "y"], rows)),
)
NAMES = ("date", "target", "id", "x", "closed_at", "year", "month", "query_id", "price", "name", "", "A B", "é")


@pytest.mark.parametrize("seed", range(80))
def test_any_table(seed: int) -> None:
    """With any label; what is written is read again."""
    random = np.random.default_rng(seed)
    rows = int(random.choice([1, 2, 3, 12, 50, 300]))
    names = [str(name) for name in random.choice(NAMES, 6, replace=False)]
    frame = pd.DataFrame({name: COLUMNS[random.integers(len(COLUMNS))](random, rows) for name in names})
    refused = ""
    try:
        looked(frame)
    except MLOpsError as error:
        refused = str(error)
    if refused:
        assert "only one column" in refused
        return
    for label in (None, "none", names[0]):
        try:
            seen, proposal = proposed(frame, label=label)
        except MLOpsError:
            assert label == names[0]  # what is proposed can be had
            continue
        assert page(seen, proposal)
        assert Profile.from_file(seen.to_file()) == seen and Proposal.from_file(proposal.to_file()) == proposal
