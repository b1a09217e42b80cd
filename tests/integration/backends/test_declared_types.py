"""A product's own functions, from compute to prediction: what they return has its declared type, or is named."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.backends.feature_store.feast.store import FeatureStoreBackend
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models import lightgbm
from airflow_mlops_provider.lifecycle.records.manifest import Failure
from airflow_mlops_provider.lifecycle.references import Dataset
from airflow_mlops_provider.runtime.runner import run
from airflow_mlops_provider.scoring.predictor import Predictor
from tests.factories.shop import DAYS, EXAMPLES, FEATURES, SHOPS, ShopWorld

KINDS = {"last_return": "timestamp", "note": "string", "returns": "int64", "vip": "bool", "discount": "float64"}
WITH_NOTHING = """
import numpy as np
import pandas as pd


def compute(tables, interval):
    rows = tables["sales"].rename(columns={"at": "event_time", "amount": "mean_amount"})
    rows["event_time"] += pd.Timedelta(minutes=1)
    return {"takings": rows.assign(last_return=NOTHING, note=NOTHING, returns=NOTHING, vip=NOTHING, discount=NOTHING)}
"""
OF_NOTHING = """
import pandas as pd


def assemble(rows):
    return pd.DataFrame({
        "mean_amount": rows["mean_amount"],
        "since_return": (rows["event_time"] - rows["last_return"]) / pd.Timedelta(minutes=1),
        "note": pd.Categorical(rows["note"], categories=["a", "b"]),
        **{name: rows[name] for name in ("returns", "vip", "discount")},
    })
"""
ODD_NAMES = """
def assemble(rows):
    odd = rows.assign(**{"basket value": rows["mean_amount"], "weight[kg]": rows["event_time"].dt.hour, "größe, 😀": 1})
    return odd[["basket value", "weight[kg]", "größe, 😀"]]
"""


@pytest.fixture
def world(tmp_path: Path) -> Iterator[ShopWorld]:
    """A shop that learns from two days of sales."""
    one = ShopWorld(tmp_path)
    yield one
    one.close()


def declare(world: ShopWorld, old: str, new: str) -> None:
    """Change the product's declaration before anybody has read it."""
    file = world.package / "product.py"
    assert old in file.read_text()
    world.write("product.py", file.read_text().replace(old, new))


@pytest.fixture(scope="module")
def taught(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[ShopWorld, Dataset]]:
    """A shop that stays as it is, and its training set."""
    one = ShopWorld(tmp_path_factory.mktemp("shop"))
    yield one, one.job("training_set", DAYS[-1], {"evaluate": 1}, features=tuple(map(one.engineer, DAYS)))
    one.close()


def failed(world: ShopWorld, job: str, params: Any = None, **inputs: Any) -> Failure:
    """Run a job that fails for good, and return what its manifest says."""
    manifest = run(world.spec(job, interval=DAYS[-1], params=params or {}, inputs=inputs))
    assert manifest.failure is not None, "it succeeded"
    assert not manifest.failure.retryable
    return manifest.failure


def clean(world: ShopWorld, number: int = 1) -> Any:
    """Return a day's clean tables."""
    return world.job("clean", DAYS[number], raw=world.job("extract", DAYS[number]))


def store_of(world: ShopWorld) -> FeatureStoreBackend:
    """Return the product's feature store."""
    return FeatureStoreBackend(world.product.shape, world.root / world.name / "feast")


def _types(file: Path) -> tuple[list[str], list[str]]:
    found = pq.read_schema(file)
    return found.names, [str(kind) for kind in found.types]


# --- features that nobody has yet -------------------------------------------------------------------------------------


@pytest.mark.parametrize("nothing", ["None", "np.nan"])
def test_features_that_nobody_has_are_null_all_the_way(world: ShopWorld, nothing: str) -> None:
    """However a product writes "nothing", a feature of any type is computed, loaded, joined, looked up online, learnt
    from and predicted with, the same online as offline.
    """
    declared = {"mean_amount": "float64", **KINDS}
    declare(world, 'features={"mean_amount": "float64"}', f"features={declared}")
    world.write("features.py", WITH_NOTHING.replace("NOTHING", nothing))
    world.write("assemble.py", OF_NOTHING)
    version = world.learn()
    store, rows = store_of(world), pd.DataFrame({"shop": [*SHOPS, "nowhere"]})
    files = (world.root / world.name / "compute").glob("*/*/takings.parquet")
    assert not [name for file in files for name, kind in zip(*_types(file), strict=True) if kind == "null"]
    found, mark = store.online(rows), store.watermark()
    assert mark is not None
    offline = store.historical(rows.assign(event_time=mark - pd.Timedelta(microseconds=1)))
    pd.testing.assert_frame_equal(found, offline[list(declared)])
    assert found[list(KINDS)].isna().all(axis=None)
    assert found["mean_amount"].notna().sum() == len(SHOPS)
    folder = Path(version.uri.removeprefix("file://"))
    predictor = Predictor(world.product.scoring, models.load(folder))
    assert len(predictor.predict(rows.assign(event_time=mark), found)) == len(rows)


def test_a_feature_may_get_its_first_value_later(world: ShopWorld) -> None:
    """A day on which nobody has a value beside one on which somebody has is one column, online and offline."""
    declare(world, 'features={"mean_amount": "float64"}', 'features={"mean_amount": "float64", "seen": "timestamp"}')
    world.write(
        "features.py", FEATURES.replace('"mean_amount"]]}', '"mean_amount"]].assign(seen=SEEN(interval, sales))}')
    )
    later = "\n\ndef SEEN(interval, sales):\n    return sales['event_time'] if interval.start.day == 2 else None\n"
    world.write("features.py", (world.package / "features.py").read_text() + later)
    for day in DAYS:
        world.engineer(day)
    store, rows = store_of(world), pd.DataFrame({"shop": list(SHOPS)})
    assert store.online(rows)["seen"].notna().all()
    before = store.historical(rows.assign(event_time=DAYS[0].end))
    assert before["seen"].isna().all()
    assert before["seen"].dtype == store.online(rows)["seen"].dtype


# --- names ------------------------------------------------------------------------------------------------------------


def test_inputs_may_have_any_name(world: ShopWorld) -> None:
    """Names that LightGBM changes or refuses are those of the model all the same: trained, judged, registered, live."""
    world.write("assemble.py", ODD_NAMES)
    version = world.learn()
    features = world.engineer(DAYS[-1])
    predictions = world.job("predict", DAYS[-1], features=features, version=version)
    world.job("drift", DAYS[-1], version=version, predictions=predictions)
    kept = models.load(Path(version.uri.removeprefix("file://"))).model.inputs
    assert [one["name"] for one in kept] == ["basket value", "weight[kg]", "größe, 😀"]


def test_a_day_without_examples_is_predicted(world: ShopWorld) -> None:
    """Where there was nothing to ask, nothing is predicted, and no mean is told of it."""
    version = world.learn()
    world.write("examples.py", EXAMPLES.replace("interval.end)]", "interval.end)].iloc[:0]"))
    importlib.reload(importlib.import_module(f"{world.name}.examples"))
    manifest = run(
        world.spec("predict", interval=DAYS[-1], inputs={"features": world.engineer(DAYS[-1]), "version": version})
    )
    assert manifest.state == "success", manifest.failure
    assert manifest.result is not None
    assert (manifest.result.facts["rows"], manifest.metrics) == (0, {})


# --- what a function returns ------------------------------------------------------------------------------------------

FRAME = "tables['sales'].rename(columns={'at': 'event_time', 'amount': 'mean_amount'})"
COMPUTED = {
    "nothing": ("None", "returned NoneType; it must return a dict of a DataFrame a view"),
    "a frame": (FRAME, "returned DataFrame; it must return a dict"),
    "a list": (f"[{FRAME}]", "returned list"),
    "a list of rows": (f"{{'takings': {FRAME}.to_dict('records')}}", "view 'takings', returned list; it must return a"),
    "a series": (f"{{'takings': {FRAME}['mean_amount']}}", "view 'takings', returned Series"),
    "a column twice": (
        f"{{'takings': {FRAME}[['shop', 'event_time', 'mean_amount', 'shop']]}}",
        "view 'takings', returned column 'shop' twice",
    ),
    "columns on two levels": (f"{{'takings': pd.concat({{'a': {FRAME}}}, axis=1)}}", "a column named ('a', 'shop')"),
    "a number as name": (f"{{'takings': {FRAME}.assign(**{{'x': 1}}).rename(columns={{'x': 1}})}}", "a column named 1"),
    "a column too many": (f"{{'takings': {FRAME}.assign(x=1)}}", "'x'; known: event_time, mean_amount, shop"),
    "a view that is none": (f"{{'takings': {FRAME}, 7: {FRAME}}}", "'7'; known: takings"),
    "a key that is missing": (
        f"{{'takings': {FRAME}.assign(shop=lambda rows: rows['shop'].where(rows.index > 0))}}",
        "column 'shop' is declared string, but <NA> in row shop=<NA>, event_time=2024-01-02 00:00:00+00:00 is missing",
    ),
    "a key of numbers": (
        f"{{'takings': {FRAME}.assign(shop=range(288))}}",
        "column 'shop' is declared string, but 0 in",
    ),
    "a time that is missing": (
        f"{{'takings': {FRAME}.assign(event_time=lambda rows: rows['event_time'].where(rows.index != 4))}}",
        "column 'event_time' is declared timestamp, but NaT in row shop=north, event_time=NaT is missing",
    ),
    "a time without zone": (
        f"{{'takings': {FRAME}.assign(event_time=lambda rows: rows['event_time'].dt.tz_localize(None))}}",
        "(and 287 more rows) has no time zone",
    ),
    "a day": (
        f"{{'takings': {FRAME}.assign(event_time=lambda rows: rows['event_time'].dt.date)}}",
        "but datetime.date(2024, 1, 2) in row shop=north, event_time=2024-01-02 (and 287 more rows) is no moment",
    ),
    "the end of time": (
        f"{{'takings': {FRAME}.assign(event_time=pd.Timestamp('9999-12-31', tz='UTC'))}}",
        "is outside the years 1678 to 2261",
    ),
    "an entity twice at once": (
        f"{{'takings': pd.concat([{FRAME}, {FRAME}.head(2)])}}",
        "2 entity moments twice, such as {'event_time': ",
    ),
    "an endless number": (
        f"{{'takings': {FRAME}.assign(mean_amount=lambda rows: 1 / (rows.index - 3))}}",
        "column 'mean_amount' is declared float64, but inf in row shop=west",
    ),
    "text for a number": (
        f"{{'takings': {FRAME}.astype({{'mean_amount': str}})}}",
        "'mean_amount' is declared float64",
    ),
    "a list in a cell": (f"{{'takings': {FRAME}.assign(mean_amount=[[1]] * 288)}}", "but [1] in row shop=north"),
}


@pytest.mark.parametrize("case", COMPUTED)
def test_what_compute_may_not_return_is_named(world: ShopWorld, case: str) -> None:
    """Features of another shape or type fail where they are computed, with view, column, row and value."""
    returned, said = COMPUTED[case]
    world.write("features.py", f"import pandas as pd\n\n\ndef compute(tables, interval):\n    return {returned}\n")
    failure = failed(world, "compute", clean=(clean(world),))
    assert said in failure.message
    assert failure.error in {"ConfigurationError", "SourceDataError", "UnknownNameError"}


@pytest.mark.parametrize("case", [(2**53 + 1, "int64"), (2**63 + 1, "uint64"), (-(2**60), "object")])
def test_numbers_that_a_store_or_model_would_round_are_named(world: ShopWorld, case: tuple[int, str]) -> None:
    """A whole number beyond what is kept exactly fails where it is computed, not where it is joined or learnt from."""
    number, dtype = case
    declare(world, 'features={"mean_amount": "float64"}', 'features={"mean_amount": "int64"}')
    frame = f"{FRAME}.assign(mean_amount=pd.Series([7] * 287 + [{number}], dtype={dtype!r}))"
    returned = f"{{'takings': {frame}}}"
    world.write("features.py", f"import pandas as pd\n\n\ndef compute(tables, interval):\n    return {returned}\n")
    failure = failed(world, "compute", clean=(clean(world),))
    assert f"'mean_amount' is declared int64, but {number} in row shop=west" in failure.message
    assert "declare it string" in failure.message


ROWS = "tables['sales'][['shop']].assign(event_time=tables['sales']['at'], much=1, known_at=tables['sales']['at'])"
GIVEN = {
    "nothing": ("None", "returned NoneType; it must return a DataFrame"),
    "a dict": (f"{ROWS}.to_dict()", "returned dict"),
    "a column twice": (f"pd.concat([{ROWS}, {ROWS}['shop']], axis=1)", "returned column 'shop' twice"),
    "no label": (f"{ROWS}.drop(columns='much')", "unknown column of examples 'much'"),
    "words": (f"{ROWS}.assign(much=['yes', 'no'] * 144)", "label 'much' holds 'yes' (144 times), 'no' (144 times)"),
    "one and two": (f"{ROWS}.assign(much=[1, 2] * 144)", "label 'much' holds 1 (144 times), 2 (144 times)"),
    "shares": (f"{ROWS}.assign(much=0.5)", "label 'much' holds 0.5 (288 times)"),
    "when it became known without zone": (
        f"{ROWS}.assign(known_at=lambda rows: rows['known_at'].dt.tz_localize(None))",
        "column 'known_at' is declared timestamp",
    ),
    "a time that is missing": (
        f"{ROWS}.assign(event_time=pd.NaT)",
        "column 'event_time' is declared timestamp, but NaT",
    ),
}


@pytest.mark.parametrize("case", GIVEN)
def test_what_examples_may_not_return_is_named(world: ShopWorld, case: str) -> None:
    """Examples of another shape, or with labels that are none, fail where they are made."""
    returned, said = GIVEN[case]
    world.write("examples.py", f"import pandas as pd\n\n\ndef examples(tables, interval):\n    return {returned}\n")
    assert said in failed(world, "compute", clean=(clean(world),)).message


def test_truth_values_become_numbers(world: ShopWorld) -> None:
    """A label written as truth, and not known everywhere, is a whole number to whoever learns from it."""
    truth = '(sales["amount"] > 50).astype(object).where(sales["amount"] > 10)'
    world.write("examples.py", EXAMPLES.replace('(sales["amount"] > 50).astype("int64")', truth))
    data = world.job("training_set", DAYS[-1], {"evaluate": 1}, features=tuple(map(world.engineer, DAYS)))
    label = pd.read_parquet(f"{data.uri.removeprefix('file://')}/train.parquet")["much"]
    assert label.dtype == np.int64
    assert 0 < label.sum() < len(label) < 288


@pytest.mark.parametrize(
    ("label", "said"),
    [
        (
            "(sales['amount'] > 50) & (interval.start.day == 1)",
            "is 0 (288 times) in all 288 rows of the part 'evaluate'",
        ),
        ("None", "has its label 'much' yet; wait for labels to arrive"),
    ],
)
def test_labels_of_one_class_are_named(world: ShopWorld, label: str, said: str) -> None:
    """Where nothing is to be told apart, or nobody knows yet, there is no training set, and the message says why."""
    world.write("examples.py", EXAMPLES.replace('(sales["amount"] > 50).astype("int64")', label))
    features = tuple(map(world.engineer, DAYS))
    assert said in failed(world, "training_set", {"evaluate": 1}, features=features).message


# --- trainers ---------------------------------------------------------------------------------------------------------

LIGHTGBM = "lightgbm.train({**settings, 'verbosity': -1}, lightgbm.Dataset(features, label), 3)"
TRAINED = {
    "nothing": ("None", "the trainer returned NoneType, but flavor 'lightgbm' takes a trained lightgbm.Booster"),
    "a pair": (f"({LIGHTGBM}, 0.7)", "the trainer returned tuple"),
    "a dict": (f"{{'model': {LIGHTGBM}}}", "the trainer returned dict"),
    "another library": ("__import__('sklearn.tree').tree.DecisionTreeClassifier()", "sklearn.tree._classes.Dec"),
    "before its fit": ("lightgbm.LGBMClassifier()", "the LGBMClassifier was not trained"),
    "a generator": (f"({LIGHTGBM} for _ in range(1))", "the trainer returned generator"),
    "no probability": (
        LIGHTGBM.replace("**settings", "'objective': 'regression'").replace("label)", "label * 9)"),
        "rows no number from 0 to 1; let the trainer learn a probability",
    ),
    "three numbers": (
        LIGHTGBM.replace("**settings", "'objective': 'multiclass', 'num_class': 3"),
        "the model gives 3 numbers for a row, and 1 are needed: prediction; let the trainer learn a probability",
    ),
    "settings out of range": (
        LIGHTGBM.replace("**settings", "'num_leaves': -3"),
        ":train failed in lightgbm: Check failed: (num_leaves)",
    ),
    "other inputs": (
        LIGHTGBM.replace("Dataset(features", "Dataset(features.set_axis(['a', 'b'], axis=1)"),
        "unknown input of the trained model 'a'; known: hour, mean_amount",
    ),
}


@pytest.mark.parametrize("case", TRAINED)
def test_what_a_trainer_may_not_return_is_named(taught: tuple[ShopWorld, Dataset], case: str) -> None:
    """What is no model of the declared flavor, or predicts no probability, fails at training, for good."""
    (world, data), (returned, said) = taught, TRAINED[case]
    module = f"trainer_{list(TRAINED).index(case)}"
    body = f"    import lightgbm\n\n    return {returned}\n"
    world.write(f"{module}.py", f"def train(features, label, settings, seed):\n{body}")
    trainer = {"code": f"{world.name}.{module}:train", "settings": {"objective": "binary", "min_data_in_leaf": 5}}
    failure = failed(world, "train", {"trainer": trainer}, training_set=data)
    assert said in failure.message
    assert failure.error in {"ConfigurationError", "UnknownNameError"}


def _never(features: Any, label: Any, settings: Any, seed: Any) -> None:
    raise AssertionError("it was called")


ASSEMBLED: dict[str, tuple[Callable[[pd.DataFrame], Any], str]] = {
    "a series": (lambda rows: rows["mean_amount"], ".assemble:assemble returned Series; it must return a DataFrame"),
    "another order": (lambda rows: rows[["mean_amount"]].sort_values("mean_amount"), "the rows in another order"),
    "too few rows": (lambda rows: rows[["mean_amount"]].head(7), "returned 7 rows for 288"),
    "a column twice": (lambda rows: rows[["mean_amount", "mean_amount"]], "returned column 'mean_amount' twice"),
    "a time": (lambda rows: rows[["event_time"]], "model input 'event_time' is datetime64[ns, UTC]"),
    "a name that is taken": (lambda rows: rows[["mean_amount"]].assign(prediction=1.0), "input is named 'prediction'"),
    "a great number": (lambda rows: rows[["mean_amount"]].assign(x=2**60), "'x' holds 1152921504606846976 (row 0)"),
}


@pytest.mark.parametrize("case", ASSEMBLED)
def test_what_assemble_may_not_return_is_named(
    taught: tuple[ShopWorld, Dataset], case: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Inputs of another shape, or of which no model could learn, fail at training, before the trainer is called."""
    (world, data), (assemble, said) = taught, ASSEMBLED[case]
    monkeypatch.setattr(importlib.import_module(f"{world.name}.assemble"), "assemble", assemble)
    monkeypatch.setattr(importlib.import_module(f"{world.name}.trainer"), "train", _never)
    assert said in failed(world, "train", training_set=data).message


def test_a_model_that_predicts_no_probability_is_named_when_it_is_judged(
    taught: tuple[ShopWorld, Dataset], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A model that gave a probability for what it learnt from, and gives none later, fails where it is evaluated."""
    world, data = taught
    model = world.job("train", DAYS[-1], training_set=data)
    monkeypatch.setattr(lightgbm.LightGBM, "predict", lambda self, model, rows: np.full(len(rows), 1.5))
    failure = failed(world, "evaluate", model=model, training_set=data)
    assert "the model gives 1.5 for a row, and 288 of 288 rows no number from 0 to 1" in failure.message


def test_tables_are_written_as_pandas_reads_them(taught: tuple[ShopWorld, Dataset]) -> None:
    """What is declared comes back as pandas' own type."""
    world, _ = taught
    file, *_ = (world.root / world.name / "compute").glob("*/*/takings.parquet")
    assert pd.read_parquet(file).dtypes.astype(str).tolist() == ["object", "datetime64[ns, UTC]", "float64"]
    assert pd.read_parquet(file.with_name("examples.parquet"))["much"].dtype == np.int64
