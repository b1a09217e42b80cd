"""scikit-learn: estimators and pipelines, kept by skops; no pickle anywhere."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.base import Flavor, installed_as
from airflow_mlops_provider.backends.models.columns import Columns, rows_of
from airflow_mlops_provider.backends.models.inputs import (
    described,
    inputs_of,
    numbers,
    read_model,
    typed,
    write_model,
)
from airflow_mlops_provider.backends.models.outputs import class_codes, per_class
from airflow_mlops_provider.backends.models.skops_archive import pack, packages, unpack
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

MODEL_FILE = "model.skops"
#: What computes each row by itself, and in the same way whatever rows are beside it. What multiplies matrices does not:
#: the order in which a product's terms are summed, and so its last bits, may depend on the number of rows.
EACH_BY_ITSELF = frozenset(
    {
        *("Binarizer", "KBinsDiscretizer", "MaxAbsScaler", "MinMaxScaler", "OneHotEncoder", "OrdinalEncoder"),
        *("RobustScaler", "StandardScaler", "TargetEncoder", "MissingIndicator", "SimpleImputer"),
        *("SelectFromModel", "SelectKBest", "SelectPercentile", "VarianceThreshold"),
        *("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"),
        *("ExtraTreesClassifier", "ExtraTreesRegressor", "RandomForestClassifier", "RandomForestRegressor"),
        *("GradientBoostingRegressor", "HistGradientBoostingRegressor", "IsolationForest"),
        *("DummyClassifier", "DummyRegressor", "LGBMClassifier", "LGBMRegressor", "LGBMRanker"),
        *("XGBClassifier", "XGBRegressor", "XGBRanker"),
    }
)
#: The same where they choose between two classes: the probabilities of more are divided by their sum.
OF_TWO_CLASSES = frozenset({"GradientBoostingClassifier", "HistGradientBoostingClassifier"})


#: Libraries whose estimators may be in a pipeline: their distributions by package.
_OTHERS = {"lightgbm": "lightgbm", "xgboost": installed_as("xgboost-cpu", "xgboost")}


@dataclass(frozen=True)
class Estimator:
    """A fitted estimator, ready to predict.

    :param first: what is applied to all rows at once, before the rest is to each row; None if there is no such step.
    :param rest: what gives the predictions, of what ``first`` makes; ``apply`` is its method for that.
    :param at_once: whether that, too, is applied to all rows at once.
    :param inputs: ``name`` and ``categories`` (None for a number) of each.
    :param classes: the codes of the classes that it knows; None if it gives no probabilities.
    """

    first: Any
    rest: Any
    at_once: bool
    inputs: tuple[dict[str, Any], ...]
    classes: list[int] | None

    @property
    def apply(self) -> Callable[[Any], Any]:
        method: Callable[[Any], Any] = getattr(self.rest, _method(self.rest))
        return method


class ScikitLearn(Flavor):
    """scikit-learn's estimators, and what is made of them."""

    takes = ("sklearn.base.BaseEstimator",)
    words = "a fitted scikit-learn estimator, pipeline or search"
    to_train = to_predict = ("scikit-learn", "skops")
    mistakes = ("sklearn.exceptions.NotFittedError", "sklearn.utils._param_validation.InvalidParameterError")
    extra = "sklearn"
    by_columns = True

    def prepared(self, features: pd.DataFrame) -> pd.DataFrame:
        """Return inputs as predicting gives them: an encoder learns whole numbers as what they will be, float64."""
        return numbers(features)

    def needs(self, folder: Path) -> tuple[str, ...]:
        """Return what predicting needs: also the libraries of whose models a pipeline holds some."""
        data, _ = read_model(folder, MODEL_FILE)
        held = packages(data)
        return (*self.to_predict, *(library for package, library in _OTHERS.items() if package in held))

    def save(self, model: Any, folder: Path, features: pd.DataFrame | None = None) -> None:
        """Write a model as ``model.skops`` and ``model.json`` (its SHA-256; the inputs' names and types).

        Of a search, its best estimator is kept.

        :raises ConfigurationError: if it was not fitted, does not know its inputs by name, gives nothing that could be
            a prediction, or holds what can't be kept without pickle or is not of scikit-learn and its like.
        """
        estimator = _fitted(model)
        classes = class_codes(estimator) if _method(estimator) == "predict_proba" else None
        data = pack(estimator)
        write_model(folder, MODEL_FILE, data, inputs_of(_names(estimator), features), classes=classes)

    def load(self, folder: Path) -> Estimator:
        data, inputs = read_model(folder, MODEL_FILE)
        estimator = unpack(data)
        # Threads would add up a forest's trees in the order in which they end.
        alone = {name: 1 for name in estimator.get_params() if name.rpartition("__")[2] == "n_jobs"}
        estimator.set_params(**alone)
        steps = list(getattr(estimator, "steps", ()))
        safe = next((place for place, (_, step) in enumerate(steps) if not _each_by_itself(step)), len(steps))
        at_once = safe == len(steps) if steps else _each_by_itself(estimator)
        split = 0 if at_once else min(safe, max(0, len(steps) - 1))
        first, rest = (estimator[:split], estimator[split:]) if split else (None, estimator)
        return Estimator(first, rest, at_once, inputs, described(folder).get("classes"))

    def predict(self, model: Estimator, frame: pd.DataFrame | Columns) -> np.ndarray:
        """Return predictions, as :meth:`~.base.LoadedModel.predict` describes them.

        They are probabilities of a classifier, values of a regressor, and of what looks for outliers how odd a row is:
        the negative of ``score_samples``. A row's prediction is the same to the bit alone or among others: what would
        make a difference is computed for each row alone, in some tenths of a millisecond.

        :raises SourceDataError: if the estimator refuses the rows.
        """
        import numpy as np
        import sklearn

        try:
            with sklearn.config_context(skip_parameter_validation=True):
                given = np.asarray(_given(model, typed(model.inputs, _rows(model, frame))), dtype=np.float64)
        except ValueError as error:
            raise SourceDataError(
                f"the {type(model.rest).__name__} can't predict such rows: {str(error)[:300]}; let it impute what is "
                "missing, and take categories that it does not know, as OneHotEncoder(handle_unknown='ignore') does"
            ) from error
        given = given[: rows_of(frame)]
        return per_class(-given if model.apply.__name__ == "score_samples" else given, model.classes)


def _rows(model: Estimator, frame: pd.DataFrame | Columns) -> pd.DataFrame | Columns:
    """Return rows to predict: a plain one where there is none, as that has as many outputs as any."""
    import pandas as pd

    plain = {
        entry["name"]: [0.0 if entry["categories"] is None else (entry["categories"] or [None])[0]]
        for entry in model.inputs
    }
    return frame if rows_of(frame) else pd.DataFrame(plain)


def _given(model: Estimator, table: Any) -> Any:
    import numpy as np
    from sklearn.utils import _safe_indexing

    if model.first is not None:
        table = model.first.transform(table)
    if model.at_once:
        return model.apply(table)
    return np.concatenate([model.apply(_safe_indexing(table, slice(row, row + 1))) for row in range(table.shape[0])])


def _fitted(model: Any) -> Any:
    """Return what of a model predicts. :raises ConfigurationError: if it was not fitted."""
    from sklearn.exceptions import NotFittedError
    from sklearn.utils.validation import check_is_fitted

    name = type(model).__name__
    try:
        check_is_fitted(model)
    except (NotFittedError, TypeError) as error:
        raise ConfigurationError(f"the {name} was not fitted ({error}); return it after fit") from error
    if hasattr(model, "best_params_") and not hasattr(model, "best_estimator_"):
        raise ConfigurationError(f"the {name} has no best estimator: let it refit")
    return getattr(model, "best_estimator_", model)


def _names(estimator: Any) -> list[str]:
    """Return an estimator's inputs. :raises ConfigurationError: if it does not know them by name."""
    names = getattr(estimator, "feature_names_in_", None)
    if names is None:
        raise ConfigurationError(
            f"the {type(estimator).__name__} was fitted on a bare array, and does not know its inputs by name; fit it "
            "on columns of the frame that the trainer is given"
        )
    return [str(name) for name in names]


def _method(estimator: Any) -> str:
    """Return the method that gives an estimator's predictions. :raises ConfigurationError: if it has none."""
    from sklearn.base import is_classifier, is_outlier_detector, is_regressor

    name, advice = "predict", "only what predicts can be a model"
    if is_classifier(estimator):
        name, advice = "predict_proba", "put it into a CalibratedClassifierCV, or take one that gives probabilities"
    elif is_outlier_detector(estimator) or (hasattr(estimator, "score_samples") and not is_regressor(estimator)):
        name, advice = (
            "score_samples",
            "let it score other rows than it was fitted on: LocalOutlierFactor(novelty=True)",
        )
    if not hasattr(estimator, name):
        raise ConfigurationError(f"the {type(estimator).__name__} has no {name}: {advice}")
    return name


def _each_by_itself(part: Any) -> bool:
    """Say whether all of an estimator computes each row by itself."""
    from sklearn.compose import ColumnTransformer
    from sklearn.pipeline import FeatureUnion, Pipeline
    from sklearn.preprocessing import FunctionTransformer

    if part is None or isinstance(part, str):  # left out, or passed on
        return True
    if isinstance(part, Pipeline):
        return all(_each_by_itself(step) for _, step in part.steps)
    if isinstance(part, ColumnTransformer):
        return all(_each_by_itself(step) for _, step, _ in part.transformers_)
    if isinstance(part, FeatureUnion):
        return all(_each_by_itself(step) for _, step in part.transformer_list)
    if isinstance(part, FunctionTransformer):
        return part.func is None
    name = type(part).__name__
    return name in EACH_BY_ITSELF or (name in OF_TWO_CLASSES and len(part.classes_) == 2)


FLAVOR = ScikitLearn()
