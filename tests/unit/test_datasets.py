"""Tables of a task of one's own: read, changed, kept by content with a record, and believed by what comes after."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops_provider import Report, read_dataset, write_dataset
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, MLOpsError
from airflow_mlops_provider.lifecycle.references import Dataset, parse_reference
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.records import Records
from tests.factories.tiny import TinyWorld


@pytest.fixture
def tiny(make: Callable[..., TinyWorld], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> TinyWorld:
    """A product whose artifact root Airflow is configured for."""
    world = make()
    monkeypatch.setenv("AIRFLOW_HOME", str(tmp_path))
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(world.root))
    return world


def doubled(reference: Dataset) -> pd.DataFrame:
    """Return the sales with twice the amount."""
    sales = read_dataset(reference.to_json())["sales"]
    return sales.assign(amount=sales["amount"] * 2)


def test_a_changed_table_is_used_and_leads_back(tiny: TinyWorld) -> None:
    """What a job makes of it has the new rows; lineage goes on through it, to the delivered file."""
    raw = tiny.extracted()
    old = run(tiny.spec("clean", inputs={"raw": raw}))
    mine = parse_reference(write_dataset({"sales": doubled(raw)}, like=raw.to_json()))
    assert isinstance(mine, Dataset)
    assert (mine.interval, mine.facts["rows"]) == (raw.interval, {"sales": 2})
    assert "files" not in mine.facts and mine.hash != raw.hash
    done = run(tiny.spec("clean", inputs={"raw": mine}))
    assert done.result is not None and done.address != old.address and done.external == {}
    assert list(read_dataset(done.result.to_json())["sales"]["amount"]) == [3.0, 5.0]
    ancestors = list(Records(FolderStore(tiny.root)).ancestors(done))
    assert [made.reference.hash for made in ancestors] == [mine.hash, raw.hash]
    record = ancestors[0].manifest
    assert record is not None
    assert (record.makes, record.spec.job) == ("custom data", "custom_task")
    assert [output.name for output in record.outputs] == ["sales.parquet"]


def test_the_same_again_is_the_same(tiny: TinyWorld) -> None:
    """Written twice it is one result; unchanged, its content is that of the table whose place it takes."""
    raw = tiny.extracted()
    first = write_dataset(doubled(raw), like=raw.to_json())
    assert write_dataset({"sales": doubled(raw)}, like=raw.to_json()) == first
    assert write_dataset(read_dataset(raw.to_json()), like=raw.to_json())["hash"] == raw.hash


def test_bytes_and_claims_are_checked(tiny: TinyWorld) -> None:
    """Another hash than its record's, or other bytes, is refused by job and reader."""
    raw = tiny.extracted()
    mine = Dataset.model_validate(write_dataset(doubled(raw), like=raw.to_json()))
    forged = mine.model_copy(update={"hash": raw.hash})
    failure = run(tiny.spec("clean", inputs={"raw": forged})).failure
    assert failure is not None and failure.error == "IntegrityError"
    file = Path(mine.uri.removeprefix("file://")) / "sales.parquet"
    file.write_bytes(file.read_bytes() + b"x")
    failure = run(tiny.spec("clean", inputs={"raw": mine})).failure
    assert failure is not None and failure.error == "IntegrityError"
    with pytest.raises(IntegrityError, match="is not what was recorded"):
        read_dataset(mine.to_json())
    with pytest.raises(IntegrityError, match="is not what was recorded"):
        write_dataset({"more": pd.DataFrame({"a": [1]})}, made_of=[mine.to_json()])


def test_tables_that_are_not_given_stay(tiny: TinyWorld) -> None:
    """Of a dataset with several tables one may be changed; the others are the same bytes."""
    both = {"a": pd.DataFrame({"x": [1]}), "b": pd.DataFrame({"y": ["é", None]})}
    before = write_dataset(both, product=tiny.name)
    after = write_dataset({"a": pd.DataFrame({"x": [2, 3]})}, like=before)
    tables = read_dataset(after)
    assert list(tables["a"]["x"]) == [2, 3]
    pd.testing.assert_frame_equal(tables["b"], both["b"])
    assert after["facts"]["rows"] == {"a": 2, "b": 1 + 1}


@pytest.mark.parametrize("kind", ["pyarrow", "polars", "batches"])
def test_kinds_of_tables(tiny: TinyWorld, kind: str) -> None:
    """PyArrow's tables, Polars' frames and streams of batches are kept as pandas' are."""
    frame = pd.DataFrame({"shop": ["north", None], "amount": [1.5, 2.5], "n": [1, 2]})
    table: Any = pa.Table.from_pandas(frame, preserve_index=False)
    if kind == "polars":
        table = pytest.importorskip("polars").from_arrow(table)
    elif kind == "batches":
        table = table.to_reader()
    (kept,) = read_dataset(write_dataset({"sales": table}, product=tiny.name)).values()
    pd.testing.assert_frame_equal(kept, frame)


FRAME = pd.DataFrame({"a": [1]})
REFUSED: dict[str, tuple[Any, dict[str, Any], str]] = {
    "another name": ({"sale": FRAME}, {"like": ...}, "unknown table 'sale'; known: sales"),
    "a path": ({"../sales": FRAME}, {}, "no name for a table"),
    "a list": ({"sales": [1]}, {}, "table 'sales' is a list"),
    "an index": ({"sales": FRAME.set_index("a")}, {}, "index a, which would be lost"),
    "which table": (FRAME, {}, "say which table it is"),
    "whose": ({"sales": FRAME}, {"product": None}, "name it with product="),
    "a product that is a path": ({"sales": FRAME}, {"product": "../x"}, "no name for a folder"),
}


@pytest.mark.parametrize("what", REFUSED)
def test_what_is_refused(tiny: TinyWorld, what: str) -> None:
    """Each says what is wrong, and nothing is kept."""
    tables, given, message = REFUSED[what]
    if "like" in given:
        given = {"like": tiny.extracted().to_json()}
    with pytest.raises(MLOpsError, match=message) as raised:
        write_dataset(tables, **{"product": tiny.name, **given})
    assert not raised.value.retryable
    assert not list(tiny.root.rglob("custom_task"))


def test_only_datasets_have_tables(tiny: TinyWorld) -> None:
    """A report is neither read nor replaced by tables."""
    report = Report(uri=f"file://{tiny.root}/x", hash="0" * 64, passed=True).to_json()
    with pytest.raises(ConfigurationError, match="is a report, and has no tables"):
        read_dataset(report)
    with pytest.raises(ConfigurationError, match="takes a dataset as 'like'"):
        write_dataset({"sales": FRAME}, like=report, product=tiny.name)
