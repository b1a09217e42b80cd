"""Drift measured by the real Evidently."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from evidently.metrics import ValueDrift
from evidently.metrics.column_statistics import ValueDriftCalculation
from scipy.stats import wasserstein_distance

from airflow_mlops_provider.backends.drift.evidently.report import Drift, Plan, drift
from airflow_mlops_provider.exceptions import DataValidationError


def _frame(rows: int = 3000, shift: float = 0.0, seed: int = 0) -> pd.DataFrame:
    """Return two numeric inputs, a category, a flag and a prediction; ``shift`` moves half of them."""
    random = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "steady": random.normal(size=rows),
            "moving": random.normal(shift, 1.0, rows),
            "carrier": pd.Categorical(random.choice(["AA", "UA"], rows, p=[0.5, 0.5])),
            "night": random.random(rows) < 0.3 + shift / 3,
            "score": random.beta(2, 5, rows) + shift / 10,
        }
    )


def _drift(reference: pd.DataFrame, current: pd.DataFrame, folder: Path, sample: int = 5000, seed: int = 1) -> Drift:
    return drift(reference, current, Plan(("score",)), folder=folder, sample=sample, seed=seed)


def test_what_did_not_move_has_not_drifted(tmp_path: Path) -> None:
    """Two draws from the same distribution show no drift in any input, and next to none in the prediction."""
    found = _drift(_frame(), _frame(seed=9), tmp_path)
    assert found.share == 0
    assert found.prediction < 0.1
    assert list(found.columns) == ["steady", "moving", "carrier", "night"]


def test_what_moved_has_drifted(tmp_path: Path) -> None:
    """Exactly the moved inputs drift; the share counts inputs only, and the prediction is apart from it."""
    reference, current = _frame(), _frame(shift=1.0, seed=9)
    found = _drift(reference, current, tmp_path)
    assert {name for name, column in found.columns.items() if column["drifted"]} == {"moving", "night"}
    assert found.share == 0.5
    distance = wasserstein_distance(reference["score"], current["score"]) / reference["score"].std(ddof=0)
    assert found.prediction == pytest.approx(distance)
    moving = found.columns["moving"]
    assert moving["method"] == "Wasserstein distance (normed)"
    assert moving["score"] > moving["threshold"] == 0.1


def test_few_rows_are_judged_by_significance(tmp_path: Path) -> None:
    """With few rows Evidently turns to p-values, where small means drifted; the verdict still follows the data."""
    found = _drift(_frame(300), _frame(300, shift=1.0, seed=9), tmp_path)
    assert "p_value" in found.columns["moving"]["method"]
    assert found.columns["moving"]["drifted"]
    assert found.columns["moving"]["score"] < found.columns["moving"]["threshold"]
    assert not found.columns["steady"]["drifted"]


def test_same_seed_same_numbers(tmp_path: Path) -> None:
    """A seed fixes the sample and so every number; another seed changes them; the frames are left alone."""
    reference, current = _frame(), _frame(seed=9)
    before = reference.copy(), current.copy()
    first, again, other = (_drift(reference, current, tmp_path, 1500, seed) for seed in (1, 1, 2))
    assert first == again
    assert first.columns["steady"]["score"] != other.columns["steady"]["score"]
    pd.testing.assert_frame_equal(reference, before[0])
    pd.testing.assert_frame_equal(current, before[1])


def test_odd_columns(tmp_path: Path) -> None:
    """Constant, wholly missing, suddenly missing, sparse, nullable and new-category columns each get a sane answer."""
    reference, current = _frame(), _frame(seed=9)
    for frame in (reference, current):
        frame["constant"], frame["never"] = 1.0, np.nan
        frame["nullable"] = pd.array(np.arange(len(frame)) % 100, dtype="Int64")
        frame.loc[frame.index[::3], "nullable"] = pd.NA
        frame["sparse"] = frame["steady"].where(frame.index % 2 == 0)
    reference["lost"], current["lost"] = 1.5, np.nan
    reference["word"], current["word"] = "old", pd.Series(["new", None] * 1500)
    reference["jumped"], current["jumped"] = 1.0, 2.0
    columns = _drift(reference, current, tmp_path).columns
    assert {name for name, column in columns.items() if column["drifted"]} == {"lost", "word", "jumped"}
    assert columns["lost"]["method"] == columns["never"]["method"] == "presence of values"


SILENCED = {
    "a number falls silent": ("moving", 0.0, 0.95),
    "a number speaks again": ("moving", 0.95, 0.0),
    "a category": ("carrier", 0.0, 0.3),
    "a truth": ("night", 0.1, 0.5),
    "text": ("word", 0.2, 0.7),
    "infinities": ("moving", 0.0, 0.4),
}


def _without(frame: pd.DataFrame, name: str, share: float, hole: object, seed: int) -> pd.DataFrame:
    gone = np.random.default_rng(seed).random(len(frame)) < share
    return frame.assign(**{name: frame[name].astype(object).where(~gone, hole).astype(frame[name].dtype)})


@pytest.mark.parametrize("case", SILENCED)
@pytest.mark.parametrize("rows", [400, 3000])
def test_values_that_come_or_go_are_drift(case: str, rows: int, tmp_path: Path) -> None:
    """An input whose values are gone, or there again, has drifted, of whatever type; page and figures say by what."""
    name, before, now = SILENCED[case]
    hole = np.inf if case == "infinities" else None
    sides = [_frame(rows), _frame(rows, seed=9)]
    for side in sides:
        side["night"] = side["night"].astype("boolean")
        side["word"] = ["up", "down"] * (rows // 2)
    found = _drift(
        *(_without(side, name, share, hole, rows) for side, share in zip(sides, (before, now), strict=True)), tmp_path
    )
    assert {column for column, one in found.columns.items() if one["drifted"]} == {name}
    told = found.columns[name]
    assert told["method"] == "difference of missing shares"
    assert told["missing"] == found.missing[name] == pytest.approx([before, now], abs=0.08)
    assert told["score"] == pytest.approx(abs(told["missing"][1] - told["missing"][0]))
    assert told["score"] >= told["threshold"] >= 0.1
    assert f"{name}: is it missing?" in (tmp_path / "drift.html").read_text(encoding="utf-8")


def test_steady_gaps_are_no_drift(tmp_path: Path) -> None:
    """An input that misses as many values as ever has not drifted, and a row or two too few are chance."""
    sides = [_without(_frame(seed=seed), "moving", 0.6, None, seed) for seed in (0, 9)]
    assert not _drift(*sides, tmp_path).missing
    few = [_frame(3000), _frame(20, seed=9).assign(moving=lambda frame: frame["moving"].where(frame.index > 1))]
    found = _drift(*few, tmp_path).columns["moving"]
    assert found["missing"] == [0.0, 0.1]
    assert found["method"] != "difference of missing shares"


def test_what_is_infinite_throughout_has_no_value(tmp_path: Path) -> None:
    """A column of nothing but infinities is as good as missing, and no reason to fail."""
    found = _drift(_frame(), _frame(seed=9).assign(moving=np.inf), tmp_path)
    assert found.columns["moving"]["drifted"]
    assert found.missing == {"moving": [0.0, 1.0]}


@pytest.mark.parametrize(("rows", "key", "drifted"), [(1, 2**60, False), (3000, 2**60, False), (3000, 2**61, True)])
def test_large_keys_that_hardly_differ(tmp_path: Path, rows: int, key: int, drifted: bool) -> None:
    """No histogram has bins narrower than floats are apart: they are compared as categories, and don't fail."""
    sides = pd.DataFrame({"tenant": [2**60] * 3000}), pd.DataFrame({"tenant": [key] * rows})
    measured = drift(*sides, Plan(), folder=tmp_path, sample=5000, seed=1)
    assert (measured.columns["tenant"]["drifted"], measured.prediction) == (drifted, None)


def test_an_input_may_have_the_name_of_what_is_shown(tmp_path: Path) -> None:
    """Whatever inputs are called, the line that shows a missing share takes the place of none."""
    sides = [_frame().assign(**{"moving: is it missing?": 1.0}) for _ in range(2)]
    found = _drift(sides[0], sides[1].assign(moving=np.nan), tmp_path)
    assert {name for name, column in found.columns.items() if column["drifted"]} == {"moving"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda frame: frame.iloc[:0], "the current data is empty"),
        (lambda frame: frame.drop(columns="steady"), "the current data lacks steady"),
        (lambda frame: frame.drop(columns="score"), "the current data has no prediction column 'score'"),
        (lambda frame: frame.assign(score=np.nan), "the current data has no prediction: all 3000 are missing"),
        (lambda frame: frame.assign(score="high"), "the current predictions are object, not numbers"),
    ],
)
def test_what_cannot_be_compared_is_named(change: object, message: str, tmp_path: Path) -> None:
    """Data that allows no comparison is refused with the reason, and no page is left."""
    with pytest.raises(DataValidationError, match=message):
        _drift(_frame(), change(_frame()), tmp_path)  # type: ignore[operator]
    assert not list(tmp_path.iterdir())


def test_files(tmp_path: Path) -> None:
    """The page is whole in itself, and the details hold our numbers and Evidently's."""
    found = _drift(_frame(), _frame(shift=1.0), tmp_path)
    page = (tmp_path / "drift.html").read_text(encoding="utf-8")
    head = page[: page.index("<script")] if "<script" in page else page
    assert "moving" in page
    for loader in ('<script src="http', "<script src='http", '<link rel="stylesheet" href="http', "@import url(http"):
        assert loader not in page
    assert "http" not in head.replace("http://www.w3.org", "").replace('content="text/html', "")
    details = json.loads((tmp_path / "drift.json").read_text())
    assert details["columns"] == found.columns
    assert details["share"] == found.share
    assert len(details["evidently"]["metrics"]) == 5


def test_forty_columns_are_fast(tmp_path: Path) -> None:
    """40 columns of 5,000 rows take under 6 s of CPU (about 2.5 s on an idle core), page included."""
    random = np.random.default_rng(0)
    sides = [
        pd.DataFrame({f"x{i}": random.normal(size=20_000) for i in range(39)} | {"score": random.random(20_000)})
        for _ in range(2)
    ]
    began = time.process_time()
    found = _drift(*sides, tmp_path)
    assert time.process_time() - began < 6
    assert len(found.columns) == 39


def test_calls_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    """In a fresh home, a report opens no network connection and leaves only its two files."""
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    code = (
        "import socket\n"
        "def refuse(self, address): print('CALLED', address, flush=True); raise OSError\n"
        "socket.socket.connect = refuse\n"
        "import numpy as np, pandas as pd\n"
        "from pathlib import Path\n"
        "from airflow_mlops_provider.backends.drift.evidently.report import Plan, drift\n"
        "f = pd.DataFrame({'a': np.arange(2000.0), 'score': np.arange(2000.0)})\n"
        f"print(drift(f, f, Plan(('score',)), folder=Path({str(out)!r}), sample=100, seed=1).share)\n"
    )
    environment = {key: value for key, value in os.environ.items() if key != "DO_NOT_TRACK"}
    environment |= {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path]),
    }
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=home, env=environment
    )
    assert shown.stdout.split() == ["0.0"]
    assert sorted(path.name for path in out.iterdir()) == ["drift.html", "drift.json"]
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_only_what_moved_is_drawn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the predictions; what is measured, and told in the file, is what Evidently itself has that draws all."""
    reference, current = _frame(), _frame(shift=1.0, seed=9)
    (tmp_path / "whole").mkdir()
    found = _drift(reference, current, tmp_path)
    monkeypatch.setattr(ValueDrift, "__calculation_type__", ValueDriftCalculation)
    assert _drift(reference, current, tmp_path / "whole") == found
    pages = [
        (folder / "drift.html").read_text().count("DATA DISTRIBUTION") for folder in (tmp_path, tmp_path / "whole")
    ]
    assert pages == [3, 5]
