"""What text means is seen, as far as all of it means the same; what no reader takes as it is, is said."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

from airflow_mlops_provider.backends.profiles.values import Values, values_of

DAY = 86400.0


def typed(values: list[object], kind: pa.DataType | None = None) -> Values:
    """Return a column's values."""
    return values_of(pa.table({"a": pa.array(values, kind)}))[0]["a"]


@pytest.mark.parametrize(
    ("texts", "kind", "written"),
    [
        (["1", "2", "-3"], "int64", ""),
        (["1", "2.5", "1e3"], "float64", ""),
        (["1,234.5", "7"], "float64", "1,234.5"),
        (["1.234,5", "7,25"], "float64", "1.234,5"),
        (["3,5", "4,25"], "float64", "3,5"),
        (["€ 12.50", "€ 7"], "float64", "€ 12.50"),
        (["12 %", "7.5 %"], "float64", "12 %"),
        (["true", "False"], "bool", ""),
        (["yes", "No"], "bool", "yes/no"),
        (["2024-01-01", "2024-02-01"], "timestamp", ""),
        (["2024-01-01T10:00:00Z", "2024-01-01T11:00:00+02:00"], "timestamp", ""),
        (["31.12.2024", "01.01.2025"], "timestamp", "%d.%m.%Y"),
        (["12/31/2024 10:00", "01/01/2025 11:00"], "timestamp", "%m/%d/%Y %H:%M"),
        (["Jan 1 2000", "Feb 1 2000"], "timestamp", "%b %d %Y"),
        (["007", "012"], "string", ""),
        (["a", "b"], "string", ""),
        (["yes", "no", "perhaps"], "string", ""),
        (["1-2", "2-3"], "string", ""),
        (["192.168.0.1", "10.0.0.1"], "string", ""),
        (["12:30", "13:45"], "string", ""),
    ],
)
def test_text_is_read_as_what_it_means(texts: list[str], kind: str, written: str) -> None:
    """Type, and how it is written where that is no plain form."""
    values = typed([*texts, None, ""])
    assert (values.type, values.written) == (kind, written)
    assert values.missing.tolist() == [False] * len(texts) + [True, True]


def test_numbers_and_times_have_their_values() -> None:
    """Thousands, commas and formats are taken off; times are seconds in UTC."""
    np.testing.assert_allclose(typed(["1.234,5", "7,25"]).numbers, [1234.5, 7.25])
    np.testing.assert_allclose(typed(["02.01.1970", "03.01.1970"]).numbers, [DAY, 2 * DAY])
    np.testing.assert_allclose(typed(["1970-01-02T00:00:00Z", "1970-01-02T02:00:00+02:00"]).numbers, [DAY, DAY])
    assert typed(["1970-01-02T00:00:00Z", "1970-01-02T02:00:00+02:00"]).zoned
    assert not typed(["1970-01-02", "1970-01-03"]).zoned


def test_words_for_missing_are_known_by_the_company_they_keep() -> None:
    """Among numbers NA means missing, and then it does in every column; among texts alone it is one of them."""
    columns, missing, _ = values_of(pa.table({"a": ["1", "NA", "2"], "b": ["x", "NA", "y"]}))
    assert missing == ("NA",) and columns["a"].type == "int64"
    assert [each.missing.tolist() for each in columns.values()] == [[False, True, False]] * 2
    assert typed(["x", "NA", "y"]).missing.tolist() == [False] * 3


def test_what_is_almost_a_number_is_named() -> None:
    """One mistyped value is no reason for silence."""
    values = typed([*map(str, range(30)), "12x"])
    assert values.type == "string" and "'12x'" in values.warnings[0]


def test_two_readings_of_a_date_are_named() -> None:
    """3/4 is March or April: nobody guesses in silence."""
    assert "%d/%m/%Y" in typed(["03/04/2024", "05/06/2024"]).warnings[0]


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (Decimal("1.5"), None, "float64"),
        (date(2024, 1, 1), None, "timestamp"),
        (datetime(2024, 1, 1, tzinfo=UTC), None, "timestamp"),
        (True, None, "bool"),
        (1, pa.uint8(), "int64"),
        (1.5, pa.float32(), "float64"),
        ("x", pa.dictionary(pa.int8(), pa.string()), "string"),
        ("x", pa.large_string(), "string"),
    ],
)
def test_typed_columns_keep_their_type(value: object, kind: pa.DataType | None, expected: str) -> None:
    """Whatever Arrow calls it; a missing value makes no other of it."""
    values = typed([value, None], kind)
    assert values.type == expected and values.missing.tolist() == [False, True] and values.distinct == 1


def test_what_has_no_single_values_is_left_out() -> None:
    """Lists, structures and bytes are named, with the reason."""
    table = pa.table({"a": [1], "tags": [["x"]], "blob": [b"x"]})
    columns, _, left_out = values_of(table)
    assert [*columns] == ["a"] and {*left_out} == {"tags", "blob"}


def test_a_column_without_any_value() -> None:
    """It is text of which all is missing."""
    assert typed([None, None]).missing.all()
