"""Every model flavor of ours keeps what a flavor keeps, with one output and with several."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import catboost
import lightgbm
import numpy as np
import pandas as pd
import prophet
import pytest
import xgboost
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import IsolationForest
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LogisticRegression
from sklearn.model_selection import GridSearchCV
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.catboost import FLAVOR as CATBOOST
from tests.factories import mlflow_models
from tests.factories.mlflow_serving import FlavorContract
from tests.factories.models import forecast_of, graph_of_classes, graph_of_numbers_and_codes, series


def inputs() -> pd.DataFrame:
    """Return inputs of both kinds, numbers with gaps; no two rows are alike."""
    random = np.random.default_rng(3)
    wind = random.normal(size=300)
    wind[::17] = np.nan
    carrier = pd.Categorical(random.choice(["AA", "UA"], 300), categories=["AA", "UA", "ZZ"])
    return pd.DataFrame({"carrier": carrier, "wind": wind, "hour": random.permutation(300) / 10})


def distinct(predictions: np.ndarray) -> list[int]:
    """Return rows of which no two are predicted the same."""
    return sorted(np.unique(predictions, return_index=True)[1])[:12]


def label() -> pd.Series:
    """Return what is learnt of them: one of two classes."""
    features = inputs()
    return (features["wind"].fillna(0) + features["hour"] / 10 > 1).astype(int)


def three() -> pd.Series:
    """Return one of three classes."""
    return label() + (inputs()["carrier"] == "AA")


class TestLightGBM(FlavorContract):
    """Trees."""

    flavor = "lightgbm"

    @pytest.fixture
    def model(self) -> Any:
        """A booster of a hundred leaves."""
        settings = {"objective": "binary", "verbose": -1, "num_threads": 1, "min_data_in_leaf": 3, "seed": 1}
        return lightgbm.train({**settings, "deterministic": True}, lightgbm.Dataset(inputs(), label()), 20)

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Rows that it tells apart."""
        return inputs().iloc[distinct(model.predict(inputs()))]

    @pytest.fixture
    def untrained(self) -> list[Any]:
        return [lightgbm.LGBMClassifier(), lightgbm.Booster({}, lightgbm.Dataset(inputs(), label()))]


class TestLightGBMClasses(TestLightGBM):
    """Trees of three classes."""

    @pytest.fixture
    def model(self) -> Any:
        """A classifier; its labels are codes."""
        return lightgbm.LGBMClassifier(n_estimators=20, verbose=-1, n_jobs=1, min_child_samples=3).fit(
            inputs(), three()
        )

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Rows that it tells apart."""
        return inputs().iloc[distinct(model.predict_proba(inputs())[:, 1])]


class TestXGBoost(FlavorContract):
    """Trees."""

    flavor = "xgboost"

    @pytest.fixture
    def model(self) -> Any:
        """A booster that splits a category."""
        data = xgboost.DMatrix(inputs(), label(), enable_categorical=True)
        return xgboost.train({"objective": "binary:logistic", "seed": 1, "nthread": 1}, data, 20)

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Rows that it tells apart."""
        return inputs().iloc[distinct(model.predict(xgboost.DMatrix(inputs(), enable_categorical=True)))]

    @pytest.fixture
    def untrained(self) -> list[Any]:
        return [xgboost.XGBRegressor(), xgboost.Booster()]


class TestXGBoostClasses(TestXGBoost):
    """Trees of three classes."""

    @pytest.fixture
    def model(self) -> Any:
        """A classifier."""
        return xgboost.XGBClassifier(n_estimators=10, enable_categorical=True, n_jobs=1).fit(inputs(), three())

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Rows that it tells apart."""
        return inputs().iloc[distinct(model.predict_proba(inputs())[:, 1])]


class TestXGBoostQuantiles(TestXGBoost):
    """Trees of two quantiles."""

    @pytest.fixture
    def model(self) -> Any:
        """A regressor."""
        settings = {"objective": "reg:quantileerror", "quantile_alpha": [0.1, 0.9], "enable_categorical": True}
        return xgboost.XGBRegressor(n_estimators=10, n_jobs=1, **settings).fit(inputs(), inputs()["hour"])

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Rows that it tells apart."""
        return inputs().iloc[distinct(model.predict(inputs())[:, 1])]


class TestCatBoost(FlavorContract):
    """Trees."""

    flavor = "catboost"
    settings = {"iterations": 20, "verbose": False, "allow_writing_files": False, "thread_count": 1, "random_seed": 1}

    @pytest.fixture
    def model(self) -> Any:
        """A classifier."""
        learner = catboost.CatBoostClassifier(**self.settings, cat_features=["carrier"])
        return learner.fit(CATBOOST.prepared(inputs()), label())

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Rows that it tells apart."""
        return inputs().iloc[distinct(model.predict_proba(CATBOOST.prepared(inputs()))[:, 1])]

    @pytest.fixture
    def untrained(self) -> list[Any]:
        return [catboost.CatBoostClassifier()]


class TestCatBoostClasses(TestCatBoost):
    """Trees of three classes."""

    @pytest.fixture
    def model(self) -> Any:
        """A classifier."""
        learner = catboost.CatBoostClassifier(**self.settings, cat_features=["carrier"])
        return learner.fit(CATBOOST.prepared(inputs()), three())


class TestCatBoostQuantiles(TestCatBoost):
    """Trees of three quantiles, of numbers alone."""

    @pytest.fixture
    def model(self) -> Any:
        """A regressor."""
        learner = catboost.CatBoostRegressor(**self.settings, loss_function="MultiQuantile:alpha=0.1,0.5,0.9")
        return learner.fit(inputs()[["wind", "hour"]], inputs()["hour"])

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Rows that it tells apart."""
        return inputs().iloc[distinct(model.predict(inputs()[["wind", "hour"]])[:, 1])]


def prepared_columns() -> ColumnTransformer:
    """Return what makes numbers of all inputs, without a gap."""
    columns = [
        ("carrier", OneHotEncoder(handle_unknown="ignore"), ["carrier"]),
        ("rest", SimpleImputer(), ["wind", "hour"]),
    ]
    return ColumnTransformer(columns)


class TestScikitLearn(FlavorContract):
    """A pipeline whose last step multiplies matrices."""

    flavor = "scikit_learn"

    @pytest.fixture
    def model(self) -> Any:
        """A classifier."""
        return make_pipeline(prepared_columns(), StandardScaler(), LogisticRegression()).fit(inputs(), label())

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Some of its rows."""
        return inputs().head(50)

    @pytest.fixture
    def untrained(self) -> list[Any]:
        return [LogisticRegression(), make_pipeline(StandardScaler(), LogisticRegression())]


class TestScikitLearnClasses(TestScikitLearn):
    """A search for a network of three classes."""

    @pytest.fixture
    def model(self) -> Any:
        """A search, of which the best is kept."""
        network = MLPClassifier(hidden_layer_sizes=(8,), max_iter=20, random_state=1)
        search = GridSearchCV(make_pipeline(prepared_columns(), network), {"mlpclassifier__alpha": [0.1, 0.2]}, cv=2)
        with warnings.catch_warnings(action="ignore"):
            return search.fit(inputs(), three())


class TestScikitLearnTrees(TestScikitLearn):
    """A forest that looks for what is odd: all rows at once."""

    @pytest.fixture
    def model(self) -> Any:
        """What scores outliers."""
        forest = IsolationForest(n_estimators=40, random_state=1, n_jobs=2)
        return make_pipeline(prepared_columns(), forest).fit(inputs())

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """Rows that it tells apart."""
        return inputs().iloc[distinct(model.score_samples(inputs()))]


class TestOnnx(FlavorContract):
    """A network of numbers and codes, made by hand."""

    flavor = "onnx"

    @pytest.fixture
    def features(self) -> pd.DataFrame:
        """Rows without a gap: the network below knows none."""
        return inputs().dropna().head(12)

    @pytest.fixture
    def model(self) -> Any:
        """A weight for each number, and one for each category."""
        return graph_of_numbers_and_codes()


class TestOnnxOfScikitLearn(TestOnnx):
    """What skl2onnx makes of a classifier: one input, and probabilities beside a label."""

    @pytest.fixture
    def features(self) -> pd.DataFrame:
        """Numbers alone."""
        return inputs()[["wind", "hour"]].dropna().head(12)

    @pytest.fixture
    def model(self, features: pd.DataFrame) -> Any:
        """A node of ONNX's own for trained models, as skl2onnx writes it."""
        return graph_of_classes()


class TestProphet(FlavorContract):
    """Forecasts of two series, with a regressor."""

    flavor = "prophet"

    @pytest.fixture(scope="class")
    def model(self) -> Any:
        """A model for each series."""
        return {name: forecast_of(rows) for name, rows in series().groupby("station", observed=True)}

    @pytest.fixture
    def features(self, model: Any) -> pd.DataFrame:
        """The days after those that they saw, of both."""
        return series().groupby("station", observed=True).tail(7).drop(columns="taken").sample(frac=1, random_state=1)

    @pytest.fixture
    def untrained(self) -> list[Any]:
        return [prophet.Prophet(), {"north": prophet.Prophet()}]


class TestProphetOfOneSeries(TestProphet):
    """Forecasts of one series."""

    @pytest.fixture(scope="class")
    def model(self) -> Any:
        """One model."""
        return forecast_of(series().query("station == 'north'"))


@pytest.mark.timeout(600)  # whichever test comes first has the environment made
class TestMlflow(FlavorContract):
    """What MLflow saved, in a process of its own: its start takes seconds, so all tests have one model."""

    flavor = "mlflow"
    #: It predicts row by row, in another process.
    most = 400

    @pytest.fixture(scope="class")
    def model(self, tmp_path_factory: pytest.TempPathFactory) -> Any:
        """The path of a model that is code of the user's."""
        return mlflow_models.saved(tmp_path_factory.mktemp("mlflow") / "model")

    @pytest.fixture(scope="class")
    def features(self) -> pd.DataFrame:
        """Rows of both kinds of inputs, with gaps."""
        return inputs().head(20)

    @pytest.fixture(scope="class")
    def saved(self, model: Any, features: pd.DataFrame, tmp_path_factory: pytest.TempPathFactory) -> Path:
        folder = tmp_path_factory.mktemp("kept") / "saved"
        models.save(model, folder, self.flavor, features)
        return folder

    @pytest.fixture(scope="class", autouse=True)
    def _cache(self) -> Iterator[None]:
        """Environments of this checkout's own."""
        with pytest.MonkeyPatch.context() as patch:
            patch.setenv("XDG_CACHE_HOME", str(mlflow_models.CACHE))
            yield


class TestTorch(FlavorContract):
    """A network, kept as ONNX."""

    flavor = "torch"

    @pytest.fixture
    def features(self) -> pd.DataFrame:
        """Rows without a gap: the network below knows none."""
        return inputs().dropna().head(12)

    @pytest.fixture
    def model(self) -> Any:
        """A small network whose weights are fixed."""
        torch = pytest.importorskip("torch", reason="pip install 'airflow-mlops-provider[torch]'")

        class Network(torch.nn.Module):  # type: ignore[misc, name-defined]
            inputs = {"carrier": ["AA", "UA", "ZZ"], "wind": None, "hour": None}

            def __init__(self) -> None:
                super().__init__()
                torch.manual_seed(1)
                self.embed, self.last = torch.nn.Embedding(4, 2), torch.nn.Linear(4, 1)

            def forward(self, numbers: Any, codes: Any) -> Any:
                known = torch.nan_to_num(numbers)
                return torch.sigmoid(self.last(torch.cat([known, self.embed(codes[:, 0])], dim=1)))[:, 0]

        return Network()
