"""The prediction log gives back what it took, within its bounds."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest

from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.serving.prediction_log import Batch, PredictionLog
from airflow_mlops_provider.serving.request_schema import RequestSchema
from tests.factories.serving import make_rows, read_log


def _some(shape: Scoring, count: int) -> Batch:
    schema = RequestSchema(shape.row_columns)
    frame = schema.frame(schema.rows(json.dumps({"rows": make_rows(count)}).encode()))
    return Batch(frame, [number / 7 for number in range(count)], 3, "abc", datetime.now(UTC))


def test_log_gives_back_what_it_took(shape: Scoring, tmp_path: Path) -> None:
    """Rows, exact predictions, times, version and request id come back, a line each."""
    log = PredictionLog(tmp_path)
    log.append(_some(shape, 10))
    log.append(_some(shape, 5))
    log.close()
    (file,) = tmp_path.glob("*.jsonl")
    frame = read_log(tmp_path)
    assert len(frame) == 15
    assert frame["prediction"].tolist()[:10] == [number / 7 for number in range(10)]
    assert frame["customer"].tolist()[9] is None
    assert str(frame["event_time"].dt.tz) == "UTC"
    assert set(frame["version"]) == {3}
    assert set(frame["request_id"]) == {"abc"}
    assert "NaN" not in file.read_text()


def test_full_log_counts_what_it_drops(shape: Scoring, tmp_path: Path) -> None:
    """What does not fit, or cannot be written, is counted and never silently lost."""
    dropped: list[int] = []
    log = PredictionLog(tmp_path, limit=4, on_drop=dropped.append)
    assert not log.append(_some(shape, 5))
    log.close()
    assert not log.append(_some(shape, 1))
    assert dropped == [5, 1]
    (tmp_path / "file").write_text("")
    blocked = PredictionLog(tmp_path / "file", on_drop=dropped.append)
    assert blocked.append(_some(shape, 2))
    blocked.close()
    assert dropped == [5, 1, 2]


def test_a_long_log_goes_on_in_another_file(shape: Scoring, tmp_path: Path) -> None:
    """No file grows for ever, and together they give back all that was recorded."""
    log = PredictionLog(tmp_path, part=1_000)
    for _ in range(5):
        log.append(_some(shape, 10))
    log.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 5
    assert len(read_log(tmp_path)) == 50


def test_a_full_folder_takes_no_more(shape: Scoring, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Beyond its bytes the folder keeps what it has; what comes is counted, and said once."""
    dropped: list[int] = []
    log = PredictionLog(tmp_path, on_drop=dropped.append, part=1_000, total=1_500)
    for _ in range(5):
        log.append(_some(shape, 10))
    log.close()
    assert len(read_log(tmp_path)) == 10 * (5 - len(dropped)) < 50
    assert [record.getMessage() for record in caplog.records if "move older files away" in record.getMessage()]
    assert len(caplog.records) == 1


def test_large_requests_wait_within_bytes(shape: Scoring, tmp_path: Path) -> None:
    """A few large requests fill the room before their rows would."""
    dropped: list[int] = []
    log = PredictionLog(tmp_path, on_drop=dropped.append)
    assert not log.append(_some(shape, 3)._replace(size=129 * 1024 * 1024))
    assert log.append(_some(shape, 4)._replace(size=127 * 1024 * 1024))
    log.close()
    assert dropped == [3]
