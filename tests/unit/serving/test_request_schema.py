"""What a caller may send, and what each mistake is answered with."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta

import msgspec
import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.lifecycle.shape import Scoring
from airflow_mlops_provider.serving.request_schema import RequestError, RequestSchema

GOOD = {"customer": "c1", "price": 1.5, "pieces": 2, "event_time": "2020-01-03T00:00:00Z"}


def parse(shape: Scoring, body: bytes) -> pd.DataFrame:
    """Return the rows of a body as the server does."""
    schema = RequestSchema(shape.row_columns)
    return schema.frame(schema.rows(body))


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
def test_wrong_value_is_named(shape: Scoring, change: dict[str, object], message: str) -> None:
    """A wrong value is refused, naming row, column, and what was given or is known."""
    with pytest.raises(RequestError) as caught:
        parse(shape, json.dumps({"rows": [{**GOOD, **change}]}).encode())
    assert message in str(caught.value)


@pytest.mark.parametrize(
    "body", ["", "[]", "{}", '{"rows": []}', '{"rows": 3}', '{"rows": [1]}', '{"rows": [', '"\\ud800"']
)
def test_body_of_another_shape_says_what_to_send(shape: Scoring, body: str) -> None:
    """A body that holds no rows is refused with the shape that is wanted."""
    with pytest.raises(RequestError, match=r'send \{"rows": '):
        parse(shape, body.encode())


def with_moment(shape: Scoring) -> Scoring:
    """The shape with a moment of its own among the request's columns."""
    return shape.model_copy(update={"request": {**shape.row_columns, "ordered": "timestamp"}})


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
def test_moments_beyond_nanoseconds_are_named(shape: Scoring, column: str, moment: str) -> None:
    """A moment that pandas can't hold is refused, naming row and column."""
    good = {**GOOD, "ordered": "2020-01-01T00:00:00Z"}
    body = json.dumps({"rows": [good, {**good, column: moment}]}).encode()
    with pytest.raises(RequestError, match=f"row 1: column '{column}': a time must lie in 1678 to 2261, not "):
        parse(with_moment(shape), body)


def test_moments_arrive_exactly(shape: Scoring) -> None:
    """The first and the last moment that fit, odd microseconds, other zones and none at all reach the frame as sent."""
    moments = ["1677-09-21T00:12:43.145225Z", "2262-04-11T23:47:16.854775Z", "2020-02-29T23:59:59.999999+05:45", None]
    rows = [{**GOOD, "ordered": moment} for moment in moments]
    frame = parse(with_moment(shape), json.dumps({"rows": rows}).encode())
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
def test_hostile_bodies_get_a_short_answer(shape: Scoring, body: str) -> None:
    """Deep, huge, endless, unnamed and unpaired: each is refused as a caller's mistake, in a bounded message."""
    with pytest.raises(RequestError) as caught:
        parse(shape, body.encode())
    assert len(str(caught.value)) < 2_100


def test_long_but_allowed_and_doubled_names_pass(shape: Scoring) -> None:
    """A string at the limit, control and astral characters arrive as they are; of a doubled name, the last counts."""
    texts = ["x" * 1_000, "\x00\n", "\U0001f6eb", ""]
    rows = [{**GOOD, "customer": text} for text in texts]
    assert parse(shape, json.dumps({"rows": rows}).encode())["customer"].tolist() == texts
    doubled = _with("pieces", '1, "pieces": 7')
    assert parse(shape, doubled.encode())["pieces"].tolist() == [7]


def test_missing_column_and_bounded_message(shape: Scoring) -> None:
    """A missing column is named, and a thousand mistakes give a short message."""
    rows = [{name: value for name, value in GOOD.items() if name != "price"}] * 1000
    with pytest.raises(RequestError, match=r"row 0: column 'price' is missing; known: .*and 995 more") as caught:
        parse(shape, json.dumps({"rows": rows}).encode())
    assert len(str(caught.value)) < 1000


def test_rows_are_bounded(shape: Scoring) -> None:
    """One row more than allowed is refused, and the limit is said."""
    schema = RequestSchema(shape.row_columns, max_rows=3)
    assert len(schema.rows(json.dumps({"rows": [GOOD] * 3}).encode())) == 3
    with pytest.raises(RequestError, match="at most 3 items"):
        schema.rows(json.dumps({"rows": [GOOD] * 4}).encode())


def test_floats_arrive_exactly(shape: Scoring) -> None:
    """Every finite float64 reaches the frame with the bits it had."""
    bits = np.random.default_rng(0).integers(0, 2**63, 5000, dtype=np.uint64)
    values = bits.view("float64")
    values = values[np.isfinite(values)]
    rows = [{**GOOD, "price": value} for value in values.tolist()]
    assert (parse(shape, json.dumps({"rows": rows}).encode())["price"].to_numpy() == values).all()


@pytest.mark.parametrize("name", ['Temp. "C"', "back\\slash", "two\nlines", "nul\0", "names"])
def test_columns_may_have_any_name(name: str) -> None:
    """Rows of any names are read, refused and recorded alike; without a time they are of now."""
    schema = RequestSchema({name: "float64", "pieces": "int64", "event_time": "timestamp"}, timed=False)
    rows = schema.rows(json.dumps({"rows": [{"pieces": 1, name: 0.1}, {name: None, "pieces": 2}]}).encode())
    assert [schema.named(row)[name] for row in rows] == [0.1, None]
    assert [datetime.now(UTC) - schema.named(row)["event_time"] < timedelta(minutes=1) for row in rows] == [True, True]
    assert json.loads(msgspec.json.encode(rows))[0][name] == 0.1
    columns = schema.columns(schema.rows_of([{"pieces": 3, name: 0.3, "event_time": "2020-01-03T00:00:00Z"}]))
    assert [columns[name].tolist(), columns["pieces"].tolist()] == [[0.3], [3]]
    assert str(columns["event_time"][0]).startswith("2020-01-03")
    for wrong, why in (({name: 1.0}, "'pieces' is missing"), ({name: "x", "pieces": 1}, "valid number")):
        with pytest.raises(RequestError, match=why):
            schema.rows(json.dumps({"rows": [wrong]}).encode())
    with pytest.raises(RequestError, match="unknown column 'colour'"):
        schema.rows(json.dumps({"rows": [{name: 1.0, "pieces": 1, "colour": "red"}]}).encode())
