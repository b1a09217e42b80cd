"""Data held against real Great Expectations expectations."""

from __future__ import annotations

import html.parser
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from great_expectations import expectations as gxe

from airflow_mlops_provider.backends.validation.great_expectations.report import Run, Verdict, validate
from airflow_mlops_provider.exceptions import ConfigurationError


@pytest.fixture
def flights() -> pd.DataFrame:
    """1,000 flights, three of them with an impossible distance, ten without a tail number."""
    frame = pd.DataFrame(
        {
            "distance": np.linspace(100, 5000, 1000).round(),
            "carrier": ["AA", "UA"] * 500,
            "tailnum": [f"N{i}" for i in range(1000)],
        }
    )
    frame.loc[:2, "distance"] = -5
    frame.loc[:9, "tailnum"] = None
    return frame


def _distance() -> Any:
    return gxe.ExpectColumnValuesToBeBetween(column="distance", min_value=0, max_value=6000)


def test_good_data_passes(flights: pd.DataFrame, tmp_path: Path) -> None:
    """Data that keeps its expectations passes, with every one counted, and both files are written."""
    promises = [
        gxe.ExpectColumnValuesToBeInSet(column="carrier", value_set=["AA", "UA"]),
        gxe.ExpectColumnValuesToNotBeNull(column="tailnum", mostly=0.95),
        gxe.ExpectTableRowCountToBeBetween(min_value=1),
    ]
    assert validate(flights, promises, "flights", tmp_path) == Verdict(True, (), 3)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["validation.html", "validation.json"]
    assert json.loads((tmp_path / "validation.json").read_text())["success"] is True


def test_broken_data_is_named_in_a_line(flights: pd.DataFrame, tmp_path: Path) -> None:
    """A broken expectation is one line with column, what was expected, how many are not, and an example."""
    verdict = validate(flights, [_distance()], "flights", tmp_path)
    line = "flights.distance: values must be between 0 and 6000; 3 of 1000 are not (e.g. -5)"
    assert (verdict.passed, verdict.broken, verdict.checked) == (False, (line,), 1)


def test_what_cannot_be_evaluated_is_broken(flights: pd.DataFrame, tmp_path: Path) -> None:
    """A missing column or incomparable types break that expectation with the reason, and the others still count."""
    promises = [
        gxe.ExpectColumnValuesToBeUnique(column="nowhere"),
        _distance(),
        gxe.ExpectColumnValuesToBeBetween(column="carrier", min_value=3),
        gxe.ExpectColumnToExist(column="nowhere"),
        gxe.ExpectColumnValuesToNotBeNull(column="carrier"),
    ]
    verdict = validate(flights, promises, "flights", tmp_path)
    assert verdict.checked == 5
    assert [line.split(":")[0] for line in verdict.broken] == [
        "flights.nowhere", "flights.distance", "flights.carrier", "flights.nowhere",
    ]  # fmt: skip
    assert 'could not be evaluated: The column "nowhere" in BatchData does not exist' in verdict.broken[0]
    assert "could not be evaluated: " in verdict.broken[2]
    assert all("\n" not in line and len(line) < 700 for line in verdict.broken)


def test_every_kind_reads_well(flights: pd.DataFrame, tmp_path: Path) -> None:
    """Aggregates, pairs, compounds, table shape and described expectations all give a line without placeholders."""
    promises = [
        gxe.ExpectColumnMeanToBeBetween(column="distance", min_value=9000),
        gxe.ExpectCompoundColumnsToBeUnique(column_list=["carrier", "distance"]),
        gxe.ExpectColumnPairValuesAToBeGreaterThanB(column_A="distance", column_B="distance"),
        gxe.ExpectTableColumnsToMatchSet(column_set=["carrier"], exact_match=True),
        gxe.ExpectTableRowCountToBeBetween(min_value=5000),
        gxe.ExpectColumnValuesToNotBeNull(column="tailnum", description="every flight has an aircraft"),
        gxe.ExpectColumnValuesToBeInSet(column="carrier", value_set=["AA"], mostly=0.9),
    ]
    broken = validate(flights, promises, "flights", tmp_path).broken
    assert len(broken) == 7
    assert not [line for line in broken if "$" in line]
    assert not [line for line in broken if "np." in line or "{" in line]
    assert "observed 2" in broken[0]
    assert broken[3].endswith("unexpected distance, tailnum")
    assert broken[4] == "flights: must have greater than or equal to 5000 rows; observed 1000"
    assert broken[5].startswith("flights.tailnum: every flight has an aircraft; 10 of 1000 are not")
    assert "500 of 1000 are not (e.g. UA)" in broken[6]


def test_page_needs_nothing_else_and_trusts_no_data(tmp_path: Path) -> None:
    """The page loads nothing, shows each expectation, and shows markup in the data as text."""
    frame = pd.DataFrame({"note": ["<script>alert(1)</script>", "ok"]})
    promises = [
        gxe.ExpectColumnValuesToBeInSet(column="note", value_set=["ok"]),
        gxe.ExpectColumnValuesToNotBeNull(column="note"),
    ]
    validate(frame, promises, "<b>notes", tmp_path)
    page = (tmp_path / "validation.html").read_text(encoding="utf-8")
    tags: list[tuple[str, dict[str, str | None]]] = []

    class Reader(html.parser.HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            tags.append((tag, dict(attrs)))

    Reader().feed(page)
    assert not [tag for tag, attributes in tags if tag in {"script", "link", "img", "b"} or "src" in attributes]
    assert sum(tag == "tr" for tag, _ in tags) == 3
    assert "url(" not in page
    assert "//" not in page
    assert "&lt;script&gt;" in page
    assert "1 of 2 expectations broken" in page


def test_details_are_bounded_and_the_same_again(flights: pd.DataFrame, tmp_path: Path) -> None:
    """The same data and expectation objects used twice give the same bytes, small even when every row is wrong."""
    flights["carrier"] = "x" * 5000
    promises = [
        gxe.ExpectColumnValuesToBeInSet(column="carrier", value_set=["AA"]),
        gxe.ExpectColumnDistinctValuesToBeInSet(column="tailnum", value_set=["N1"]),
        _distance(),
    ]
    texts = set()
    for number in range(2):
        folder = tmp_path / str(number)
        folder.mkdir()
        validate(flights, promises, "flights", folder)
        texts.add((folder / "validation.json").read_bytes())
        texts.add((folder / "validation.html").read_bytes())
    assert len(texts) == 2
    assert max(map(len, texts)) < 30_000


def test_no_expectations_is_said(flights: pd.DataFrame, tmp_path: Path) -> None:
    """With nothing to check the verdict says that nothing was checked."""
    assert validate(flights, [], "flights", tmp_path) == Verdict(True, (), 0)


def test_empty_data_can_be_judged(tmp_path: Path) -> None:
    """A table without rows breaks an expected row count and nothing else."""
    frame = pd.DataFrame({"distance": pd.Series([], dtype=float)})
    verdict = validate(frame, [_distance(), gxe.ExpectTableRowCountToBeBetween(min_value=1)], "flights", tmp_path)
    assert verdict.broken == ("flights: must have greater than or equal to 1 rows; observed 0",)


def test_calls_nobody_and_leaves_nothing(flights: pd.DataFrame, tmp_path: Path) -> None:
    """In a fresh home and folder, a validation opens no network connection and leaves only its two files."""
    home, out = tmp_path / "home", tmp_path / "out"
    home.mkdir()
    out.mkdir()
    flights.to_pickle(tmp_path / "flights.pkl")
    code = (
        "import socket\n"
        "def refuse(self, address): print('CALLED', address, flush=True); raise OSError\n"
        "socket.socket.connect = refuse\n"
        "import pandas as pd\n"
        "from pathlib import Path\n"
        "from airflow_mlops_provider.backends.validation.great_expectations.report import gx, validate\n"
        "one = gx.expectations.ExpectColumnValuesToNotBeNull(column='tailnum')\n"
        f"frame = pd.read_pickle({str(tmp_path / 'flights.pkl')!r})\n"
        f"print(validate(frame, [one], 'flights', Path({str(out)!r})).passed)\n"
    )
    environment = {
        key: value for key, value in os.environ.items() if key not in {"DO_NOT_TRACK", "GX_ANALYTICS_ENABLED"}
    }
    environment |= {
        "HOME": str(home),
        "TMPDIR": str(home),
        "PYTHONPATH": os.pathsep.join([str(Path(__file__).parents[3]), *sys.path]),
    }
    shown = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=home, env=environment
    )
    assert shown.stdout.split() == ["False"]
    assert shown.stderr == ""
    assert sorted(path.name for path in out.iterdir()) == ["validation.html", "validation.json"]
    assert not [path for path in home.rglob("*") if path.is_file()]


def test_severity_says_what_stops(flights: pd.DataFrame, tmp_path: Path) -> None:
    """What fails with the severity warning or info is told in verdict, page and details; only critical ones break."""
    softly = [
        gxe.ExpectColumnValuesToBeBetween(column="distance", min_value=0, max_value=6000, severity="warning"),
        gxe.ExpectColumnValuesToNotBeNull(column="tailnum", severity="info"),
        gxe.ExpectColumnValuesToNotBeNull(column="carrier", severity="warning"),
    ]
    verdict = validate(flights, softly, "flights", tmp_path)
    assert (verdict.passed, verdict.broken, verdict.checked) == (True, (), 3)
    assert [line.split(":")[0] for line in verdict.warnings] == ["flights.distance", "flights.tailnum"]
    page = (tmp_path / "validation.html").read_text(encoding="utf-8")
    assert "all 1 expectations held, 2 to be looked at" in page
    assert ("! warning" in page, "! info" in page, "✗" in page) == (True, True, False)
    assert json.loads((tmp_path / "validation.json").read_text())["success"] is True

    verdict = validate(flights, [*softly, _distance()], "flights", tmp_path)
    assert (verdict.passed, len(verdict.broken), len(verdict.warnings)) == (False, 1, 2)
    page = (tmp_path / "validation.html").read_text(encoding="utf-8")
    assert "1 of 4 expectations broken, 2 to be looked at" in page
    assert page.index("✗ critical") < page.index("! warning") < page.index("✓ held")


class _Raises(gxe.ExpectColumnValuesToNotBeNull):
    """An expectation of a user's own, with a mistake in it."""

    def _validate(self, *args: Any, **kwargs: Any) -> Any:
        raise ZeroDivisionError("a mistake of mine")


@pytest.mark.parametrize(("severity", "passed"), [("critical", False), ("warning", True), ("info", True)])
def test_an_expectation_that_raises_is_told(flights: pd.DataFrame, tmp_path: Path, severity: str, passed: bool) -> None:
    """An expectation's own error, or a column that is not there, is never a silent pass, whatever its severity."""
    promises = [
        _Raises(column="carrier", severity=severity),
        gxe.ExpectColumnMeanToBeBetween(column="nowhere", min_value=0, severity=severity),
        gxe.ExpectColumnValuesToNotBeNull(column="carrier"),
    ]
    verdict = validate(flights, promises, "flights", tmp_path)
    told = verdict.warnings if passed else verdict.broken
    assert verdict.passed is passed
    assert len(told) == 2
    assert "flights.carrier: " in told[0]
    assert "could not be evaluated: a mistake of mine" in told[0]
    assert "could not be evaluated: " in told[1]


def test_rows_left_out_are_told(flights: pd.DataFrame, tmp_path: Path) -> None:
    """How many delivered rows are not in the data stands on the page and in the details, as a warning."""
    verdict = validate(flights, [], "flights", tmp_path, {"before the interval": 2, "without a time": 1})
    line = "flights: every delivered row is in its interval; left out: 2 before the interval, 1 without a time"
    assert verdict == Verdict(True, (), 1, (line,))
    assert "left out: 2 before the interval, 1 without a time" in (tmp_path / "validation.html").read_text("utf-8")
    assert json.loads((tmp_path / "validation.json").read_text())["left_out"] == {
        "before the interval": 2,
        "without a time": 1,
    }


def test_configurations_are_as_good_as_objects(flights: pd.DataFrame, tmp_path: Path) -> None:
    """What a suite's file holds gives the same verdict, byte for byte; a parameter takes its value from the run."""
    severe = {"severity": "warning", "mostly": 0.995}
    promises = [_distance(), gxe.ExpectColumnValuesToNotBeNull(column="tailnum", **severe)]
    listed = [promise.configuration.to_json_dict() for promise in promises]
    listed[0]["kwargs"]["max_value"] = {"$PARAMETER": "farthest * 2"}
    for name, given in (("objects", promises), ("listed", listed)):
        (tmp_path / name).mkdir()
        verdict = validate(flights, given, "flights", tmp_path / name, None, Run({"farthest": 3000}))
        assert (len(verdict.broken), len(verdict.warnings)) == (1, 1)
    pages = {(tmp_path / name / "validation.html").read_bytes() for name in ("objects", "listed")}
    assert len(pages) == 1


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"type": "expect_colum_to_exist", "kwargs": {}}, "expect_colum_to_exist not found"),
        ({"type": "expect_column_to_exist", "kwargs": {"colum": "a"}}, "column field required; colum extra fields"),
        ({"type": "expect_column_values_to_be_between", "kwargs": {"column": "a"}}, "cannot both be None"),
        (
            {
                "type": "expect_column_max_to_be_between",
                "kwargs": {"column": "distance", "max_value": {"$PARAMETER": "x"}},
            },
            "No value found for $PARAMETER x; the task's parameters: y",
        ),
    ],
)
def test_a_configuration_that_is_none_is_no_silent_pass(
    flights: pd.DataFrame, tmp_path: Path, given: dict[str, Any], said: str
) -> None:
    """Great Expectations itself leaves out what it can't read, with a line in its log."""
    with pytest.raises(ConfigurationError) as raised:
        validate(flights, [_distance(), given], "flights", tmp_path, None, Run({"y": 1}))
    assert said in str(raised.value)


@pytest.mark.parametrize(
    ("result_format", "kept"),
    [
        ("BOOLEAN_ONLY", set()),
        ("COMPLETE", {"unexpected_index_list", "unexpected_list"}),
        ({"result_format": "COMPLETE", "unexpected_index_column_names": ["tailnum"]}, {"unexpected_index_list"}),
        ({"result_format": "COMPLETE", "include_unexpected_rows": True}, {"unexpected_rows"}),
    ],
)
def test_result_formats(flights: pd.DataFrame, tmp_path: Path, result_format: Any, kept: set[str]) -> None:
    """The details hold what Great Expectations says in each, a complete one in full; the verdict is the same."""
    promises = [gxe.ExpectColumnValuesToBeInSet(column="carrier", value_set=["AA"])]
    verdict = validate(flights, promises, "flights", tmp_path, None, Run({}, result_format))
    assert len(verdict.broken) == 1
    (result,) = json.loads((tmp_path / "validation.json").read_text())["results"]
    assert kept <= set(result["result"])
    if "unexpected_index_list" in kept:
        assert len(result["result"]["unexpected_index_list"]) == 500


def test_whatever_a_suite_holds_is_evaluated_or_broken(flights: pd.DataFrame, tmp_path: Path) -> None:
    """Conditions on rows, distributions, quantiles go by JSON as well; what pandas can't do is broken, and no crash."""
    weights = {"values": ["AA", "UA"], "weights": [0.5, 0.5]}
    quantiles = {"quantiles": [0.5], "value_ranges": [[2000, 3000]]}
    promises = [
        gxe.ExpectColumnValuesToNotBeNull(column="tailnum", row_condition="distance > 2000", condition_parser="pandas"),
        gxe.ExpectColumnKLDivergenceToBeLessThan(column="carrier", partition_object=weights, threshold=0.1),
        gxe.ExpectColumnQuantileValuesToBeBetween(column="distance", quantile_ranges=quantiles),
        gxe.UnexpectedRowsExpectation(unexpected_rows_query="select * from {batch} where distance < 0"),
    ]
    listed = [json.loads(json.dumps(promise.configuration.to_json_dict())) for promise in promises]
    verdict = validate(flights, listed, "flights", tmp_path)
    assert verdict.checked == 4
    (line,) = verdict.broken
    assert "could not be evaluated: No provider found" in line


def test_one_sentence_of_many_columns(tmp_path: Path) -> None:
    """What is expected alike of several columns is said of each; with other arguments it is another sentence."""
    frame = pd.DataFrame({"a": [None, 1.0], "$b": [None, 1.0], "c": [None, 1.0]})
    names = [gxe.ExpectColumnValuesToNotBeNull(column=name) for name in frame]
    expected = [*names, gxe.ExpectColumnValuesToNotBeNull(column="a", mostly=0.9), gxe.ExpectColumnToExist(column="d")]
    broken = validate(frame, expected, "rows", tmp_path).broken
    assert [line.partition(";")[0] for line in broken] == [
        "rows.a: values must never be null",
        "rows.$b: values must never be null",
        "rows.c: values must never be null",
        "rows.a: values must not be null, at least 90 % of the time",
        "rows.d: is a required field",
    ]
