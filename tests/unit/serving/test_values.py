"""Requests, frames, release pointers, the predictor and the prediction log, without a server."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.exceptions import IntegrityError, JobError, SourceDataError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.scoring.frames import conform
from airflow_mlops_provider.scoring.predictor import Predictor, placeholders
from airflow_mlops_provider.serving import releases
from airflow_mlops_provider.serving.prediction_log import Batch, PredictionLog, read_log
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema
from airflow_mlops_provider.storage.artifacts import open_store
from tests.factories.serving import NAME, StandInFeatures, ask_for, make_product, make_release, make_rows

GOOD = {"customer": "c1", "price": 1.5, "pieces": 2, "event_time": "2020-01-03T00:00:00Z"}


@pytest.fixture(scope="module")
def product(tmp_path_factory: pytest.TempPathFactory) -> MLProduct:
    return make_product(tmp_path_factory.mktemp("code"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"colour": "red"}, "row 0: unknown column 'colour'; known: customer, price, pieces, event_time"),
        ({"pieces": "2"}, "row 0: column 'pieces': Input should be a valid integer, not '2'"),
        ({"pieces": None}, "row 0: column 'pieces': Input should be a valid integer, not None"),
        ({"pieces": True}, "row 0: column 'pieces'"),
        ({"pieces": 2**63}, "row 0: column 'pieces'"),
        ({"price": float("nan")}, "row 0: column 'price': Input should be a finite number"),
        ({"event_time": "2020-01-03T00:00:00"}, "such as 2013-07-01T12:00:00Z"),
        ({"event_time": 1577836800}, "row 0: column 'event_time'"),
    ],
)
def test_wrong_value_is_named(product: MLProduct, change: dict[str, object], message: str) -> None:
    """A wrong value is refused, naming row, column, and what was given or is known."""
    with pytest.raises(RequestError) as caught:
        RequestSchema(product).parse(json.dumps({"rows": [{**GOOD, **change}]}).encode())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"rows": []}', '{"rows": 3}', '{"rows": [1]}', '{"rows": [', '"\\ud800"']
)
def test_body_of_another_shape_says_what_to_send(product: MLProduct, body: str) -> None:
    """A body that holds no rows is refused with the shape that is wanted."""
    with pytest.raises(RequestError, match=r'send \{"rows": '):
        RequestSchema(product).parse(body.encode())


def with_moment(product: MLProduct) -> MLProduct:
    """The product with a moment of its own among the request's columns."""
    return product.model_copy(update={"request": {**product.request, "ordered": "timestamp"}})


@pytest.mark.parametrize("column", ["event_time", "ordered"])
@pytest.mark.parametrize(
    "moment",
    [
        "0001-01-01T00:00:00+14:00",
        "9999-12-31T23:59:59.999999-14:00",
        "1677-09-21T00:00:00Z",
        "2262-04-11T23:47:16.854776Z",
        "2300-01-01T00:00:00Z",
    ],
)
def test_moments_beyond_nanoseconds_are_named(product: MLProduct, column: str, moment: str) -> None:
    """A moment that pandas can't hold is refused, naming row and column."""
    good = {**GOOD, "ordered": "2020-01-01T00:00:00Z"}
    body = json.dumps({"rows": [good, {**good, column: moment}]}).encode()
    with pytest.raises(RequestError, match=f"row 1: column '{column}': a time must lie in 1678 to 2261, not "):
        RequestSchema(with_moment(product)).parse(body)


def test_moments_arrive_exactly(product: MLProduct) -> None:
    """The first and the last moment that fit, odd microseconds, other zones and none at all reach the frame as sent."""
    moments = ["1677-09-21T00:12:43.145225Z", "2262-04-11T23:47:16.854775Z", "2020-02-29T23:59:59.999999+05:45", None]
    rows = [{**GOOD, "ordered": moment} for moment in moments]
    frame = RequestSchema(with_moment(product)).parse(json.dumps({"rows": rows}).encode())
    truth = pd.to_datetime(pd.Series(moments, name="ordered"), utc=True, format="ISO8601").astype("datetime64[ns, UTC]")
    pd.testing.assert_series_equal(frame["ordered"], truth)


def _with(name: str, json_value: str) -> str:
    rest = json.dumps({key: value for key, value in GOOD.items() if key != name})[1:]
    return f'{{"rows": [{{"{name}": {json_value}, {rest}]}}'


@pytest.mark.parametrize(
    "body",
    [
        "[" * 1_000_000,
        '{"rows": [' + '{"a":' * 100_000,
        _with("pieces", "1" + "0" * 5_000),
        _with("pieces", "-" + "9" * 1_000),
        _with("price", "1e999"),
        _with("price", "1" + "0" * 5_000),
        _with("price", "NaN"),
        _with("customer", '"\\ud800"'),
        _with("customer", json.dumps("x" * 1_001)),
        _with("customer", json.dumps("ü" * 10_000_000)),
        _with("customer", json.dumps([["x" * 100_000] * 10])),
        _with("x" * 1_000_000, "1"),
        '{"rows": [{' + ", ".join(f'"c{number}": 1' for number in range(100_000)) + "}]}",
        '{"rows": [' + ", ".join(["1"] * 20_000) + "]}",
        '\ufeff{"rows": []}',
    ],
    ids=range(15),
)
def test_hostile_bodies_get_a_short_answer(product: MLProduct, body: str) -> None:
    """Deep, huge, endless, unnamed and unpaired: each is refused as a caller's mistake, in a bounded message."""
    with pytest.raises(RequestError) as caught:
        RequestSchema(product).parse(body.encode())
    assert len(str(caught.value)) < 2_100


def test_long_but_allowed_and_doubled_names_pass(product: MLProduct) -> None:
    """A string at the limit, control and astral characters arrive as they are; of a doubled name, the last counts."""
    texts = ["x" * 1_000, "\x00\n", "\U0001f6eb", ""]
    rows = [{**GOOD, "customer": text} for text in texts]
    assert RequestSchema(product).parse(json.dumps({"rows": rows}).encode())["customer"].tolist() == texts
    doubled = _with("pieces", '1, "pieces": 7')
    assert RequestSchema(product).parse(doubled.encode())["pieces"].tolist() == [7]


def test_missing_column_and_bounded_message(product: MLProduct) -> None:
    """A missing column is named, and a thousand mistakes give a short message."""
    rows = [{name: value for name, value in GOOD.items() if name != "price"}] * 1000
    with pytest.raises(RequestError, match=r"row 0: column 'price' is missing; known: .*and 995 more") as caught:
        RequestSchema(product).parse(json.dumps({"rows": rows}).encode())
    assert len(str(caught.value)) < 1000


def test_rows_are_bounded(product: MLProduct) -> None:
    """One row more than allowed is refused, and the limit is said."""
    schema = RequestSchema(product, max_rows=3)
    assert len(schema.parse(json.dumps({"rows": [GOOD] * 3}).encode())) == 3
    with pytest.raises(RequestError, match="at most 3 items"):
        schema.parse(json.dumps({"rows": [GOOD] * 4}).encode())


def test_floats_arrive_exactly(product: MLProduct) -> None:
    """Every finite float64 reaches the frame with the bits it had."""
    bits = np.random.default_rng(0).integers(0, 2**63, 5000, dtype=np.uint64)
    values = bits.view("float64")
    values = values[np.isfinite(values)]
    rows = [{**GOOD, "price": value} for value in values.tolist()]
    assert (RequestSchema(product).parse(json.dumps({"rows": rows}).encode())["price"].to_numpy() == values).all()


def test_types_do_not_depend_on_the_rows_beside() -> None:
    """A row alone and among others has columns of the same types."""
    types = {"s": "string", "f": "float64", "i": "int64", "t": "timestamp"}
    frame = pd.DataFrame({"s": ["a", None], "f": [1, None], "i": [1, 2], "t": [datetime.now(UTC), None]}).assign(x=0)
    whole = conform(frame, types)  # type: ignore[arg-type]
    alone = conform(frame.iloc[1:].astype(object), types)  # type: ignore[arg-type]
    assert list(whole.dtypes) == list(alone.dtypes)
    assert list(whole) == list(types)


@pytest.mark.parametrize("values", [[1, None], [1.5, 2.0], ["1", "2"], ["a", "b"]])
def test_integers_are_never_made_up(values: list[object]) -> None:
    """Gaps, fractions and text do not silently become whole numbers."""
    with pytest.raises(SourceDataError, match="column 'i' is not int64"):
        conform(pd.DataFrame({"i": values}), {"i": "int64"})


def test_missing_column_lists_those_there() -> None:
    """A frame without a needed column is refused, and the message lists what it has."""
    with pytest.raises(SourceDataError, match="no column 'i'; there are: j"):
        conform(pd.DataFrame({"j": [1]}), {"i": "int64"})


def test_batch_and_single_predictions_are_bit_equal(product: MLProduct, tmp_path: Path) -> None:
    """A row predicted alone and among a thousand gets the same bits, whatever else its frame holds."""
    release = make_release(tmp_path, 1)
    predictor = Predictor.load(product, tmp_path / NAME / "train" / "model-1", release.model_hash, 1)
    rows = pd.DataFrame(make_rows(300))
    features = StandInFeatures().online(rows)
    many = predictor.predict(rows.assign(returned=1), features)
    single = [predictor.predict(rows.iloc[[n]], features.iloc[[n]])[0] for n in range(len(rows))]
    assert many.dtype == np.float64
    assert many.tolist() == single
    assert len(set(single)) > 50


def test_changed_model_file_is_refused(product: MLProduct, tmp_path: Path) -> None:
    """A model whose bytes are not those recorded does not load."""
    release = make_release(tmp_path, 1)
    folder = tmp_path / NAME / "train" / "model-1"
    with (folder / "model.lgb").open("a") as file:
        file.write(" ")
    with pytest.raises(IntegrityError, match="changed or are incomplete"):
        Predictor.load(product, folder, release.model_hash, 1)


def test_predictions_that_are_no_probabilities_are_refused(product: MLProduct, tmp_path: Path) -> None:
    """Features for fewer rows, and a product whose code fails on the smoke row, are errors and not answers."""
    release = make_release(tmp_path, 1)
    predictor = Predictor.load(product, tmp_path / NAME / "train" / "model-1", release.model_hash, 1)
    with pytest.raises(SourceDataError, match="1 rows, but features for 0"):
        predictor.predict(placeholders(product), pd.DataFrame())
    predictor.product = product.model_copy(update={"assemble": "json:loads"})
    with pytest.raises(JobError, match="the smoke row failed: TypeError"):
        predictor.smoke()


def test_pointer_round_trip_and_damage(tmp_path: Path) -> None:
    """A pointer gives back what was written; an empty place is None; a damaged or foreign one is an error."""
    store = open_store(str(tmp_path))
    assert releases.read_desired(store, NAME) is None
    asked = ask_for(tmp_path, make_release(tmp_path, 4))
    assert releases.read_desired(store, NAME) == asked
    releases.request(store, NAME, None)
    assert releases.read_desired(store, NAME) is None
    releases.request(store, NAME, asked)
    store.write("other/serving/desired.json", store.read(f"{NAME}/serving/desired.json"))
    with pytest.raises(IntegrityError, match="names product 'tiny_shop', not 'other'"):
        releases.read_desired(store, "other")
    store.write("other/serving/desired.json", b"{")
    with pytest.raises(IntegrityError, match="is no Release"):
        releases.read_desired(store, "other")


def _some(product: MLProduct, count: int) -> Batch:
    frame = RequestSchema(product).parse(json.dumps({"rows": make_rows(count)}).encode())
    return Batch(frame, [number / 7 for number in range(count)], 3, "abc", datetime.now(UTC))


def test_log_gives_back_what_it_took(product: MLProduct, tmp_path: Path) -> None:
    """Rows, exact predictions, times, version and request id come back; a cut-off last line does not."""
    log = PredictionLog(tmp_path)
    log.append(_some(product, 10))
    log.append(_some(product, 5))
    log.close()
    (file,) = tmp_path.glob("*.jsonl")
    with file.open("a") as more:
        more.write('{"row": {"customer": "c')
    frame = read_log(tmp_path)
    assert len(frame) == 15
    assert frame["prediction"].tolist()[:10] == [number / 7 for number in range(10)]
    assert frame["customer"].tolist()[9] is None
    assert str(frame["event_time"].dt.tz) == "UTC"
    assert set(frame["version"]) == {3}
    assert set(frame["request_id"]) == {"abc"}
    assert "NaN" not in file.read_text()


def test_log_reader_refuses_a_hole(product: MLProduct, tmp_path: Path) -> None:
    """A broken line that is not the last one is an error that names file and line."""
    (tmp_path / "a.jsonl").write_text('{"row": {}}\n{"row"\n{"row": {}}\n')
    with pytest.raises(IntegrityError, match=r"a\.jsonl, line 2"):
        read_log(tmp_path)


def test_no_log_is_an_empty_frame(tmp_path: Path) -> None:
    """Before the first prediction the log is empty, and no error."""
    assert read_log(tmp_path / "nothing").empty


def test_full_log_counts_what_it_drops(product: MLProduct, tmp_path: Path) -> None:
    """What does not fit, or cannot be written, is counted and never silently lost."""
    dropped: list[int] = []
    log = PredictionLog(tmp_path, limit=4, on_drop=dropped.append)
    assert not log.append(_some(product, 5))
    log.close()
    assert not log.append(_some(product, 1))
    assert dropped == [5, 1]
    (tmp_path / "file").write_text("")
    blocked = PredictionLog(tmp_path / "file", on_drop=dropped.append)
    assert blocked.append(_some(product, 2))
    blocked.close()
    assert dropped == [5, 1, 2]


def test_a_long_log_goes_on_in_another_file(product: MLProduct, tmp_path: Path) -> None:
    """No file grows for ever, and together they give back all that was recorded."""
    log = PredictionLog(tmp_path, part=1_000)
    for _ in range(5):
        log.append(_some(product, 10))
    log.close()
    assert len(list(tmp_path.glob("*.jsonl"))) == 5
    assert len(read_log(tmp_path)) == 50


def test_a_full_folder_takes_no_more(product: MLProduct, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Beyond its bytes the folder keeps what it has; what comes is counted, and said once."""
    dropped: list[int] = []
    log = PredictionLog(tmp_path, on_drop=dropped.append, part=1_000, total=1_500)
    for _ in range(5):
        log.append(_some(product, 10))
    log.close()
    assert len(read_log(tmp_path)) == 10 * (5 - len(dropped)) < 50
    assert [record.getMessage() for record in caplog.records if "move older files away" in record.getMessage()]
    assert len(caplog.records) == 1


def test_large_requests_wait_within_bytes(product: MLProduct, tmp_path: Path) -> None:
    """A few large requests fill the room before their rows would."""
    dropped: list[int] = []
    log = PredictionLog(tmp_path, on_drop=dropped.append)
    assert not log.append(_some(product, 3)._replace(size=129 * 1024 * 1024))
    assert log.append(_some(product, 4)._replace(size=127 * 1024 * 1024))
    log.close()
    assert dropped == [3]
