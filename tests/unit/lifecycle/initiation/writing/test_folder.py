"""What is written of a proposal is a product: it is declared, it is clean, and it learns from what was laid for it."""

from __future__ import annotations

import subprocess
import sys
from inspect import signature
from itertools import pairwise
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pytest

from airflow_mlops_provider import problems
from airflow_mlops_provider.backends.models.base import prepared
from airflow_mlops_provider.backends.tables.column_types import frame_schema, typed_table
from airflow_mlops_provider.backends.tables.delivered import read
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.runtime.code import load, load_product, make_importable
from tests.factories.initiated import initiated
from tests.factories.tables_to_init import TABLES

ROOT = Path(__file__).parents[5]
#: What our own code is held to, and nobody else's: heavy imports, unused arguments of a contract.
NOT_MEANT = "TID253,ARG001"


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a product of each table, and what was laid for it."""
    folder = tmp_path_factory.mktemp("initiated")
    for number, (name, given) in enumerate(TABLES.items()):
        file = folder / "data" / f"{name}.csv"
        file.parent.mkdir(exist_ok=True)
        frame = given.table()
        if number % 3 == 0:
            frame.to_csv(file, index=False, sep=";")
        elif number % 3 == 1:
            frame.to_json(file.with_suffix(".jsonl"), orient="records", lines=True, date_format="iso")
        else:
            frame.to_parquet(file.with_suffix(".parquet"), index=False)
        (written,) = file.parent.glob(f"{name}.*")
        initiated(written, folder, **given.said)
    make_importable([folder / "products"])
    return folder


@pytest.mark.parametrize("name", TABLES)
def test_it_is_declared_and_learns(folder: Path, name: str) -> None:
    """Nothing has to be written by hand: rows are read, cleaned, and a model gives predictions of the kind."""
    product = load_product(name)
    problem = problems.find(product.problem)
    assert type(problem) is type(problems.find(_plain(TABLES[name].kind)))
    tables, interval = cleaned(product, folder)
    rows = examples(product, tables, interval)
    assert len(rows) > 100 and rows[product.label.known_at].notna().any()
    label = problem.labels(rows[product.label.column])
    if name == "unlabelled":
        assert label.isna().all()
    else:
        rows, label = rows[label.notna().to_numpy()], label.dropna()
    features = prepared(load(product.features.assemble)(inputs(product, rows, tables, interval)), flavor(product))
    further = {"problem": problem, **({"group": rows[problem.group]} if problem.group else {})}
    train = load(product.training.trainer.code)
    takes = {key: value for key, value in further.items() if key in signature(train).parameters}
    model = train(features, problem.numbers(problem.learnable(label, "all")), {}, 7, **takes)
    assert hasattr(model, "predict")


def _plain(kind: str) -> Any:
    needed = {
        "multiclass_classification": {"classes": ["a", "b"]},
        "multilabel_classification": {"labels": ["a", "b"]},
        "forecasting": {"horizon": "P1D"},
        "ranking": {"group": "a"},
    }
    return _declaration(kind, needed.get(kind, {}))


def _declaration(kind: str, options: dict[str, Any]) -> Any:
    from airflow_mlops_provider.lifecycle.problem import ProblemDeclaration

    return ProblemDeclaration(kind=kind, **options) if options else kind


def flavor(product: MLProduct) -> str:
    """Return the format of a product's models."""
    return product.training.trainer.flavor


def cleaned(product: MLProduct, folder: Path) -> tuple[dict[str, pd.DataFrame], Interval]:
    """Return all that was laid as clean tables of one long interval."""
    (source,) = product.data.sources
    files = sorted((folder / "landing" / source.name).iterdir())
    assert 4 <= len(files) <= 16
    schema = frame_schema(source.columns)
    parts = [part.cast(schema) for file in files for part in read(file, file.name, source)]
    interval = Interval(start=pd.Timestamp("1900-01-01", tz="UTC"), end=pd.Timestamp("2100-01-01", tz="UTC"))
    raw = {source.name: pa.concat_tables(parts).to_pandas()}
    assert len(raw[source.name]) == len(TABLES[product.name].table())
    return load(product.data.clean)(raw, interval), interval


def examples(product: MLProduct, tables: dict[str, pd.DataFrame], interval: Interval) -> pd.DataFrame:
    """Return the rows to predict, in their declared types."""
    (source,) = product.data.sources
    if product.label.examples:
        rows = load(product.label.examples)(tables, interval)
    else:
        rows = tables[source.name]
        rows = rows.assign(**{EVENT_TIME: rows[source.time] if source.time else interval.start})
        if product.label.known_at not in rows:
            rows = rows.assign(**{product.label.known_at: rows[EVENT_TIME]})
    types = {**product.features.request, EVENT_TIME: "timestamp", product.label.known_at: "timestamp"}
    table = typed_table(rows, types, "examples", [], needed=[EVENT_TIME]).to_pandas()
    return table.assign(**{product.label.column: rows[product.label.column].to_numpy()})


def inputs(product: MLProduct, rows: pd.DataFrame, tables: dict[str, pd.DataFrame], interval: Interval) -> pd.DataFrame:
    """Return rows joined with what was known of them."""
    given = rows[[*product.features.request, EVENT_TIME]]
    for view in product.features.views:
        past = load(product.features.compute)(tables, interval)[view.name]
        past = past.astype({name: given[name].dtype for name in (EVENT_TIME, *view.keys)}).sort_values(EVENT_TIME)
        given = pd.merge_asof(given.sort_values(EVENT_TIME), past, on=EVENT_TIME, by=[*view.keys])
        assert given["last_value"].notna().mean() > 0.9
    return given


def test_what_is_written_is_clean(folder: Path) -> None:
    """Neither linter nor type checker has anything to say, nor the formatter to change."""
    products, config = folder / "products", str(ROOT / "pyproject.toml")
    for command in (
        ["ruff", "check", "--config", config, "--extend-ignore", NOT_MEANT, "."],
        ["ruff", "format", "--config", config, "--diff", "."],
        ["mypy", "--config-file", config, "--explicit-package-bases", *(f"-p{name}" for name in TABLES)],
    ):
        python = [sys.executable, "-m", *command]
        said = subprocess.run(python, check=False, capture_output=True, text=True, cwd=products)
        assert said.returncode == 0, said.stdout


def test_pairs_of_times(folder: Path) -> None:
    """Files of the history lie in the order of time, none is of two intervals."""
    names = sorted(file.name for file in (folder / "landing" / "sorts").iterdir())
    assert all(first < second for first, second in pairwise(names))
