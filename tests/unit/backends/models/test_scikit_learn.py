"""scikit-learn's estimators: kept without pickle, each row to the bit what it is alone, and nothing foreign in them."""

from __future__ import annotations

import hashlib
import json
import warnings
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from sklearn.base import BaseEstimator, TransformerMixin
from sklearn.calibration import CalibratedClassifierCV
from sklearn.compose import ColumnTransformer, TransformedTargetRegressor, make_column_selector
from sklearn.covariance import EllipticEnvelope
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.ensemble import (
    ExtraTreesRegressor,
    GradientBoostingClassifier,
    HistGradientBoostingClassifier,
    HistGradientBoostingRegressor,
    IsolationForest,
    RandomForestClassifier,
    RandomForestRegressor,
    StackingClassifier,
    VotingClassifier,
)
from sklearn.feature_selection import SelectKBest
from sklearn.gaussian_process import GaussianProcessRegressor
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor, Ridge
from sklearn.mixture import GaussianMixture
from sklearn.model_selection import GridSearchCV
from sklearn.multioutput import MultiOutputClassifier
from sklearn.naive_bayes import GaussianNB
from sklearn.neighbors import KernelDensity, KNeighborsClassifier, LocalOutlierFactor
from sklearn.neural_network import MLPRegressor
from sklearn.pipeline import FeatureUnion, make_pipeline
from sklearn.preprocessing import (
    FunctionTransformer,
    OneHotEncoder,
    OrdinalEncoder,
    PolynomialFeatures,
    PowerTransformer,
    SplineTransformer,
    StandardScaler,
)
from sklearn.svm import SVR, LinearSVC, OneClassSVM
from sklearn.tree import DecisionTreeClassifier

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.scikit_learn import FLAVOR, MODEL_FILE
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError, UnknownNameError
from airflow_mlops_provider.testing import fresh

ROWS = 300


def table() -> pd.DataFrame:
    """Return a category and 17 numbers: enough for matrix products to differ by the number of rows."""
    random = np.random.default_rng(0)
    numbers = {f"x{place}": random.normal(size=ROWS) for place in range(16)}
    frame = pd.DataFrame({"carrier": pd.Categorical(random.choice(["AA", "UA", "B6"], ROWS)), **numbers})
    frame["hour"] = random.integers(0, 24, ROWS)
    frame.loc[::7, "x0"] = np.nan
    return frame


FRAME = table()
TWO = ((FRAME["x0"].fillna(0) + FRAME["x1"] + (FRAME["carrier"] == "AA")) > 0.5).astype(int)
THREE = (FRAME["x1"] > 0).astype(int) + (FRAME["x2"] > 0)
VALUE = FRAME["x1"] + FRAME["x2"] ** 2


def columns() -> ColumnTransformer:
    """Return what makes numbers of all columns, without a gap."""
    numbers = make_pipeline(SimpleImputer(), StandardScaler())
    chosen = make_column_selector(dtype_include="number")
    return ColumnTransformer([("text", OneHotEncoder(handle_unknown="ignore"), ["carrier"]), ("rest", numbers, chosen)])


def boosted() -> Any:
    """Return trees that take categories and gaps as they are."""
    return HistGradientBoostingClassifier(max_iter=10, categorical_features="from_dtype", random_state=1)


CASES: dict[str, tuple[Any, Any]] = {
    "logistic regression": (LogisticRegression(), TWO),
    "of three classes": (LogisticRegression(), THREE),
    "ridge": (Ridge(), VALUE),
    "of counts": (PoissonRegressor(), VALUE.abs()),
    "of two values": (LinearRegression(), np.column_stack([VALUE, -VALUE])),
    "forest": (RandomForestClassifier(10, random_state=1, n_jobs=2), THREE),
    "forest of values": (RandomForestRegressor(10, random_state=1), VALUE),
    "extra trees": (ExtraTreesRegressor(10, random_state=1), VALUE),
    "tree": (DecisionTreeClassifier(random_state=1), THREE),
    "gradient boosting": (GradientBoostingClassifier(n_estimators=10, random_state=1), TWO),
    "gradient boosting of three": (GradientBoostingClassifier(n_estimators=10, random_state=1), THREE),
    "histograms of three": (HistGradientBoostingClassifier(max_iter=10, random_state=1), THREE),
    "histograms of values": (HistGradientBoostingRegressor(max_iter=10, random_state=1), VALUE),
    "support vectors": (SVR(), VALUE),
    "neighbours": (KNeighborsClassifier(), TWO),
    "Bayes": (GaussianNB(), TWO),
    "network": (MLPRegressor(hidden_layer_sizes=(8,), max_iter=20, random_state=1), VALUE),
    "outliers": (IsolationForest(n_estimators=20, random_state=1), None),
    "outliers of one class": (OneClassSVM(), None),
    "outliers by neighbours": (LocalOutlierFactor(novelty=True), None),
    "an envelope": (EllipticEnvelope(random_state=1), None),
    "density": (KernelDensity(), None),
    "a mixture": (GaussianMixture(2, random_state=1), None),
    "calibrated": (CalibratedClassifierCV(LinearSVC()), TWO),
    "voting": (VotingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())], voting="soft"), TWO),
    "stacked": (StackingClassifier([("a", LogisticRegression()), ("b", DecisionTreeClassifier())]), TWO),
    "discriminants": (LinearDiscriminantAnalysis(), THREE),
    "a process": (GaussianProcessRegressor(random_state=1), VALUE),
    "partial squares": (PLSRegression(), VALUE),
    "powers": (make_pipeline(PowerTransformer(), Ridge()), VALUE),
    "products": (make_pipeline(PolynomialFeatures(2), Ridge()), VALUE),
    "components": (make_pipeline(PCA(3), LogisticRegression()), TWO),
    "selected": (make_pipeline(SelectKBest(k=5), LogisticRegression()), TWO),
    "splines": (make_pipeline(SplineTransformer(), Ridge()), VALUE),
    "a ufunc": (make_pipeline(FunctionTransformer(np.tanh), Ridge()), VALUE),
    "a union": (make_pipeline(FeatureUnion([("s", StandardScaler()), ("p", "passthrough")]), Ridge()), VALUE),
    "a scaled label": (TransformedTargetRegressor(Ridge(), transformer=StandardScaler()), VALUE),
    "LightGBM": (lightgbm.LGBMClassifier(n_estimators=5, verbose=-1), TWO),
    "XGBoost": (xgboost.XGBClassifier(n_estimators=5), TWO),
}


def fitted(estimator: Any, label: Any) -> Any:
    """Return a pipeline as a trainer makes it of what it is given."""
    with warnings.catch_warnings(action="ignore"):
        return make_pipeline(columns(), estimator).fit(FLAVOR.prepared(FRAME), label)


def own(model: Any) -> np.ndarray:
    """Return what an estimator itself gives for all rows."""
    given = FLAVOR.prepared(FRAME)
    if hasattr(model, "score_samples"):
        return np.asarray(-model.score_samples(given))
    if not hasattr(model, "predict_proba"):
        return np.asarray(model.predict(given))
    given = model.predict_proba(given)
    return np.asarray(given[:, 1] if given.shape[1] == 2 else given)


@pytest.mark.parametrize("case", CASES)
def test_a_row_is_predicted_the_same_alone(case: str, tmp_path: Path) -> None:
    """To the bit, of whatever it is made, also beside other rows than before; and as the estimator itself says it."""
    model = fitted(*CASES[case])
    loaded = models.save(model, tmp_path, "scikit_learn", FRAME)
    whole = loaded.predict(FRAME)
    np.testing.assert_allclose(whole, own(model), rtol=1e-9)
    for row in range(0, ROWS, 9):
        np.testing.assert_array_equal(loaded.predict(FRAME.iloc[[row]])[0], whole[row])
    for first, last in ((0, 150), (1, 100), (17, 38), (299, 300)):
        np.testing.assert_array_equal(loaded.predict(FRAME.iloc[first:last]), whole[first:last])
    assert loaded.predict(FRAME.iloc[:0]).shape == (0, *whole.shape[1:])


def test_trees_and_what_is_before_a_line_are_applied_to_all_rows_at_once(tmp_path: Path) -> None:
    """What can't differ is not computed row by row: a hundred thousand rows would take minutes."""
    for case, first, at_once in (("forest", None, True), ("logistic regression", 1, False), ("powers", 1, False)):
        applied = models.save(fitted(*CASES[case]), tmp_path, "scikit_learn", FRAME).model
        assert (applied.first and len(applied.first), applied.at_once) == (first, at_once)


def test_whole_numbers_are_encoded_as_predicting_gives_them(tmp_path: Path) -> None:
    """A trainer is given float64, as requests are: an encoder's categories and what it is given are of one type."""
    assert FLAVOR.prepared(FRAME)["hour"].dtype == "float64"
    encode = ColumnTransformer([("hour", OrdinalEncoder(), ["hour"])])
    model = make_pipeline(encode, DecisionTreeClassifier(random_state=1)).fit(FLAVOR.prepared(FRAME), TWO)
    loaded = models.save(model, tmp_path, "scikit_learn", FRAME)
    np.testing.assert_array_equal(loaded.predict(FRAME), own(model))
    assert [entry["name"] for entry in loaded.model.inputs] == [*FRAME.columns]
    with pytest.raises(SourceDataError, match=r"can't predict such rows: .*unknown categories.*; let it impute"):
        loaded.predict(FRAME.assign(hour=99))


def test_categories_and_gaps_go_in_as_they_are(tmp_path: Path) -> None:
    """Histograms of trees take them by the frame's types; a category that nobody knows counts as missing."""
    model = boosted().fit(FLAVOR.prepared(FRAME), TWO)
    loaded = models.save(model, tmp_path, "scikit_learn", FRAME)
    np.testing.assert_array_equal(loaded.predict(FRAME), own(model))
    as_text = FRAME.assign(carrier=FRAME["carrier"].astype(str))
    np.testing.assert_array_equal(loaded.predict(as_text), own(model))
    np.testing.assert_array_equal(
        loaded.predict(FRAME.assign(carrier="??")), loaded.predict(FRAME.assign(carrier=None))
    )


def test_what_a_pipeline_holds_is_needed_to_predict(tmp_path: Path) -> None:
    """A model of another library within is applied by that library, which whoever serves it has to install."""
    frame = pd.DataFrame({"a": np.arange(40.0), "b": np.arange(40.0) % 3})
    boosted = make_pipeline(StandardScaler(), lightgbm.LGBMClassifier(n_estimators=2, verbose=-1))
    for name, model in {"plain": LogisticRegression(), "boosted": boosted}.items():
        models.save(model.fit(frame, np.arange(40) % 2), tmp_path / name, "scikit_learn", frame)
    needs = models.flavor_of("scikit_learn").needs
    assert needs(tmp_path / "plain") == ("scikit-learn", "skops")
    assert needs(tmp_path / "boosted") == ("scikit-learn", "skops", "lightgbm")


def test_of_a_search_the_best_is_kept(tmp_path: Path) -> None:
    """Its results of other settings, and how long they took, are not part of the model."""
    search = GridSearchCV(make_pipeline(columns(), Ridge()), {"ridge__alpha": [1, 10]}, cv=2).fit(FRAME, VALUE)
    loaded = models.save(search, tmp_path / "search", "scikit_learn", FRAME)
    models.save(search.best_estimator_, tmp_path / "best", "scikit_learn", FRAME)
    assert (tmp_path / "search" / MODEL_FILE).read_bytes() == (tmp_path / "best" / MODEL_FILE).read_bytes()
    np.testing.assert_allclose(loaded.predict(FRAME), search.predict(FRAME), rtol=1e-9)


@pytest.mark.parametrize("codes", [(0, 2), (1, 2), (1, 3)])
def test_columns_go_by_the_classes_codes(codes: tuple[int, int], tmp_path: Path) -> None:
    """A training that did not see every class gives zeros for those that it did not see."""
    model = fitted(LogisticRegression(), TWO.map(dict(enumerate(codes))))
    given = models.save(model, tmp_path, "scikit_learn", FRAME).predict(FRAME)
    assert given.shape == (ROWS, codes[1] + 1)
    np.testing.assert_allclose(given[:, codes], model.predict_proba(FRAME), rtol=1e-9)
    assert not np.delete(given, codes, axis=1).any()


class Doubled(TransformerMixin, BaseEstimator):  # type: ignore[misc]
    """A step of the user's own."""

    def fit(self, rows: Any, label: Any = None) -> Doubled:
        self.fitted_ = True
        return self

    def transform(self, rows: Any) -> Any:
        return rows * 2


REFUSED: dict[str, tuple[Any, str]] = {
    "a class of the user's": (
        make_pipeline(Doubled(), Ridge()),
        r"the model holds tests\..*test_scikit_learn\.Doubled; only classes of lightgbm, numpy.*: do such a step in",
    ),
    "a function of the user's": (
        make_pipeline(FunctionTransformer(lambda rows: rows), Ridge()),
        "test_scikit_learn.<lam",
    ),
    "a function that reads files": (
        TransformedTargetRegressor(Ridge(), check_inverse=False, func=np.copy, inverse_func=np.fromfile),
        "fromf",
    ),
    "a builtin": (
        TransformedTargetRegressor(Ridge(), check_inverse=False, func=np.copy, inverse_func=eval),
        "builtins.eval",
    ),
    "no probabilities": (LinearSVC(), "LinearSVC has no predict_proba: put it into a CalibratedClassifierCV"),
    "no scores of other rows": (LocalOutlierFactor(), r"has no score_samples: .*LocalOutlierFactor\(novelty=True\)"),
    "no predictions": (StandardScaler(), "StandardScaler has no predict: only what predicts can be a model"),
    "two labels at once": (MultiOutputClassifier(DecisionTreeClassifier()), "predicts 2 things at once"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_a_model_is_refused(case: str, tmp_path: Path) -> None:
    """It is named with what to do, no retry helps, and nothing is kept."""
    estimator, said = REFUSED[case]
    numbers = FRAME[["x1", "x2"]].abs()
    label = np.column_stack([TWO, TWO]) if case == "two labels at once" else TWO
    model = estimator.fit(numbers, label)
    with pytest.raises(ConfigurationError, match=said) as refused:
        models.save(model, tmp_path, "scikit_learn", numbers)
    assert not refused.value.retryable
    assert not list(tmp_path.iterdir())


def test_what_does_not_know_its_columns_or_its_best_is_refused(tmp_path: Path) -> None:
    """Fitted on an array, on columns that nobody will give, on names of classes, or never fitted again."""
    numbers = FRAME[["x1", "x2"]]
    for model, error, said in (
        (Ridge().fit(numbers.to_numpy(), VALUE), ConfigurationError, "was fitted on a bare array"),
        (Ridge().fit(numbers.rename(columns={"x1": "y1"}), VALUE), UnknownNameError, "trained model 'y1'; known: car"),
        (LogisticRegression().fit(numbers, TWO.map({0: "no", 1: "yes"})), ConfigurationError, "classes such as 'no'"),
        (GridSearchCV(Ridge(), {}, cv=2, refit=False).fit(numbers, VALUE), ConfigurationError, "let it refit"),
        (Ridge(), ConfigurationError, "the Ridge was not fitted"),
    ):
        with pytest.raises(error, match=said):
            models.save(model, tmp_path, "scikit_learn", FRAME)
    assert not list(tmp_path.iterdir())


def test_a_changed_archive_loads_nothing_foreign(tmp_path: Path) -> None:
    """Whoever can write the folder can write its hash, too: still, no class but those of a few libraries is loaded."""
    models.save(fitted(*CASES["ridge"]), tmp_path / "model", "scikit_learn", FRAME)
    file, other = tmp_path / "model" / MODEL_FILE, tmp_path / "other"
    with ZipFile(file) as source, ZipFile(other, "w") as target:
        for name in source.namelist():
            text = source.read(name)
            if name == "schema.json":
                text = text.replace(b'"__class__":"Ridge","__module__":"sklearn.linear_model._ridge"', FOREIGN)
                assert FOREIGN in text
            target.writestr(name, text)
    file.write_bytes(other.read_bytes())
    about = json.loads((tmp_path / "model" / "model.json").read_text())
    about["sha256"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (tmp_path / "model" / "model.json").write_text(json.dumps(about))
    with pytest.raises(ConfigurationError, match=r"the model holds subprocess\.Popen"):
        models.load(tmp_path / "model")


FOREIGN = b'"__class__":"Popen","__module__":"subprocess"'

# Trains a model anew, and says what its files are.
AGAIN = """
import hashlib, sys
from pathlib import Path
from airflow_mlops_provider.backends.models import base
from tests.unit.backends.models import test_scikit_learn as here
kept = []
for case in sys.argv[2:]:
    folder = Path(sys.argv[1]) / case
    base.save(here.fitted(*here.CASES[case]), folder, "scikit_learn", here.FRAME)
    kept += [hashlib.sha256(file.read_bytes()).hexdigest() for file in sorted(folder.iterdir())]
print()
print(*kept)  # on the last line: libraries may warn on those before
"""


def test_two_processes_make_the_same_bytes(tmp_path: Path) -> None:
    """Where objects lie in memory, and what lies between a tree's fields, is not kept."""
    cases = ["forest", "ridge", "histograms of values", "outliers", "selected", "LightGBM", "XGBoost"]
    first, second = (fresh.output(AGAIN, str(tmp_path / name), *cases).splitlines()[-1] for name in ("first", "second"))
    assert len(first.split()) == 2 * len(cases)
    assert first == second
