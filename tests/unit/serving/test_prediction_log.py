"""The prediction log gives back what it took, within its bounds."""

from __future__ import annotations

import json
import threading
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.serving.log_files import may_hold, take_out
from airflow_mlops_provider.serving.prediction_log import Batch, PredictionLog
from airflow_mlops_provider.serving.request_schema import RequestSchema
from airflow_mlops_provider.storage.artifacts import FolderStore
from tests.factories.serving import make_rows, read_log


def _some(shape: Scoring, count: int) -> Batch:
    schema = RequestSchema(shape.row_columns)
    rows = schema.rows(json.dumps({"rows": make_rows(count)}).encode())
    frame = schema.frame(rows)
    inputs = frame[["price", "pieces"]].assign(
        known=frame["customer"].notna(), kind=frame["customer"].astype("category")
    )
    return Batch(rows, Columns.of(inputs).plain(), [number / 7 for number in range(count)], 3, "abc", datetime.now(UTC))


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
    assert frame["id"].tolist()[:11] == [*(f"abc-{number}" for number in range(10)), "abc-0"]
    first, tenth = frame["inputs"][0], frame["inputs"][9]
    assert first == {"price": frame["price"][0], "pieces": frame["pieces"][0], "known": True, "kind": "c0"}
    assert (tenth["known"], tenth["kind"]) == (False, None)


@pytest.mark.parametrize("caller", ["", "shop"])
@pytest.mark.parametrize("predictions", [[0.5, 1.0], [[0.25, 0.75], [1e-9, 1e16]]])
def test_a_line_is_the_json_of_plain_values(predictions: list[Any], caller: str, tmp_path: Path) -> None:
    """Byte for byte, whatever inputs are named and hold: readers know it so."""
    at, values = datetime(2024, 1, 2, 3, 4, 5, 67, tzinfo=UTC), [[463.0, float("nan")], [float("inf"), -0.0]]
    rows = [{"customer": "é\n", "event_time": at}, {"customer": None, "event_time": at}]
    for names in (["price", "größe"], ['a"b', "c\\d"]):
        frame = pd.DataFrame(dict(zip(names, values, strict=True)))
        frame["kind"], frame["text"] = pd.Categorical(["b", None]), np.array(["x", None], dtype=object)
        frame["at"], frame["count"], frame["known"] = pd.to_datetime([at, None], utc=True), [1, 2], [True, False]
        inputs = [
            {**{name: frame[name][row] for name in names}, "kind": ("b", None)[row], "text": ("x", None)[row],
             "at": (at, None)[row], "count": row + 1, "known": not row}
            for row in (0, 1)
        ]  # fmt: skip
        said = (3, "abc", at, 10, caller, bool(caller))
        log = PredictionLog(tmp_path / names[0])
        log.append(Batch(rows, Columns.of(frame).plain(), predictions, *said))
        log.close()
        (file,) = (tmp_path / names[0]).iterdir()
        call = {"version": 3, "request_id": "abc", "predicted_at": at}
        call |= {"caller": caller, "shadow": True} if caller else {}
        lines = [
            {"id": f"abc-{row}", "row": rows[row], "inputs": inputs[row], "prediction": predictions[row], **call}
            for row in (0, 1)
        ]
        assert file.read_bytes() == msgspec.json.Encoder(enc_hook=lambda value: value.item()).encode_lines(lines)


def test_a_file_says_by_its_name_what_it_may_hold(shape: Scoring, tmp_path: Path) -> None:
    """Of the day of its first record, from that on: neither an earlier hour's, nor another day's; strangers' never."""
    at = datetime(2024, 1, 2, 10, 30, 0, 123_900, tzinfo=UTC)
    log = PredictionLog(tmp_path)
    log.append(_some(shape, 1)._replace(predicted_at=at))
    log.close()
    (file,) = (path.name for path in tmp_path.iterdir())

    def hours(first: int, last: int) -> bool:
        start = datetime(2024, 1, 2, tzinfo=UTC)
        return may_hold(file, Interval(start=start + timedelta(hours=first), end=start + timedelta(hours=last)))

    assert [hours(9, 10), hours(10, 11), hours(23, 24), hours(24, 25), hours(0, 24), hours(-24, 0)] == [
        *(False, True, True, False, True, False)
    ]
    assert may_hold(file, Interval(start=at - timedelta(hours=1), end=at + timedelta(microseconds=1)))
    assert not may_hold("notes.jsonl", Interval(start=at, end=at + timedelta(days=1)))


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


def test_lines_are_taken_out_while_a_server_writes(shape: Scoring, tmp_path: Path) -> None:
    """None that stays is lost, and none that is taken out comes back: the server goes on in another file."""
    log, store, taken = PredictionLog(tmp_path), FolderStore(tmp_path), 0
    ended = threading.Event()

    def write() -> None:
        for _ in range(300):
            log.append(_some(shape, 4))
        log.close()
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set():
        taken += sum(take_out(store, key, lambda line: b'"abc-2"' in line) for key in store.list(""))
    writer.join()
    taken += sum(take_out(store, key, lambda line: b'"abc-2"' in line) for key in store.list(""))
    left = read_log(tmp_path)["id"].value_counts().to_dict()
    assert taken == 300
    assert left == {"abc-0": 300, "abc-1": 300, "abc-3": 300}
    assert len(store.list("")) > 1


def test_a_file_that_was_moved_away_is_followed_by_another(shape: Scoring, tmp_path: Path) -> None:
    """What comes after that lies in a new one, and nothing of it in the old."""
    log = PredictionLog(tmp_path / "log")
    log.append(_some(shape, 1))
    deadline = time.monotonic() + 10
    while not (files := [*(tmp_path / "log").glob("*.jsonl")]) or not files[0].stat().st_size:
        assert time.monotonic() < deadline
    files[0].rename(tmp_path / "moved.jsonl")
    log.append(_some(shape, 2))
    log.close()
    assert len((tmp_path / "moved.jsonl").read_text().splitlines()) == 1
    assert len(read_log(tmp_path / "log")) == 2
