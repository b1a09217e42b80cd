"""Prophet: forecasts of one series or of many, kept as Prophet's own JSON; no pickle anywhere."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.base import Flavor
from airflow_mlops_provider.backends.models.inputs import described, inputs_of, read_model, take, write_model
from airflow_mlops_provider.exceptions import ConfigurationError, SourceDataError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import prophet

MODEL_FILE = "prophet.json"
#: The input that says when, in seconds since 1970 began in UTC.
TIME = "ds"


@dataclass(frozen=True)
class Forecasts:
    """Fitted models, ready to forecast.

    :param models: by the name of their series.
    :param series: the input that names a row's series; None where there is but one, whose name is empty.
    :param inputs: ``name`` and ``categories`` (None for a number) of each.
    """

    models: dict[str, prophet.Prophet]
    series: str | None
    inputs: tuple[dict[str, Any], ...]


class Prophet(Flavor):
    """Prophet's own JSON.

    A model takes ``ds``, the time in seconds since 1970 began in UTC, its extra regressors, and ``cap``, ``floor`` and
    the conditions of seasonalities, where it has them. Of many, one input names the series, as a category.
    """

    takes = ("prophet.forecaster.Prophet",)
    words = "a fitted prophet.Prophet, or a dict of them by the names of their series"
    to_train = to_predict = ("prophet",)
    extra = "prophet"

    def fits(self, model: Any) -> bool:
        if isinstance(model, dict):
            return bool(model) and all(super(Prophet, self).fits(part) for part in model.values())
        return super().fits(model)

    def save(self, model: Any, folder: Path, features: pd.DataFrame | None = None) -> None:
        """Write models as ``prophet.json`` and ``model.json`` (its SHA-256; the inputs' names and types).

        Prophet's JSON holds the series, too: the times and values that a model was fitted on.

        :raises ConfigurationError: if one was not fitted, or no input names the series.
        """
        from prophet.serialize import model_to_dict, model_to_json

        models: Mapping[Any, prophet.Prophet] = model if isinstance(model, dict) else {"": model}
        if unfitted := [name for name, part in models.items() if part.history is None]:
            raise ConfigurationError(f"the Prophet {unfitted[0]!r} was not fitted; return it after fit")
        series = _series(models, features) if isinstance(model, dict) else None
        names = dict.fromkeys(name for part in models.values() for name in _takes(part))
        inputs = inputs_of([TIME, *names, *([series] if series else [])], features)
        if series:
            text = json.dumps({str(name): model_to_dict(models[name]) for name in sorted(models, key=str)})
        else:
            text = model_to_json(model)
        write_model(folder, MODEL_FILE, text.encode(), inputs, series=series)

    def load(self, folder: Path) -> Forecasts:
        from prophet.serialize import model_from_dict, model_from_json

        data, inputs = read_model(folder, MODEL_FILE)
        series = described(folder).get("series")
        if series:
            models = {name: model_from_dict(part) for name, part in json.loads(data).items()}
        else:
            models = {"": model_from_json(data.decode())}
        for model in models.values():
            model.uncertainty_samples = 0  # they would be of other numbers each time
            model.predict_seasonal_components = partial(_components, model)
        return Forecasts(models, series, inputs)

    def predict(self, model: Forecasts, frame: pd.DataFrame) -> np.ndarray:
        """Return forecasts, as :meth:`~.base.LoadedModel.predict` describes them.

        A missing regressor counts as its mean; a row whose series is missing or unknown gets the mean forecast of all.

        :raises SourceDataError: if a row has no time, or Prophet refuses it.
        """
        import numpy as np
        import pandas as pd

        columns = take(model.inputs, frame)
        if np.isnan(columns[TIME]).any():
            raise SourceDataError(f"column {TIME!r} must hold the time of each row, in seconds since 1970")
        rows = pd.DataFrame({**columns, TIME: pd.to_datetime(columns[TIME], unit="s")})
        if model.series is None:
            return _forecast(model.models[""], rows)
        known = next(entry["categories"] for entry in model.inputs if entry["name"] == model.series)
        names = np.array([*map(str, known), ""], dtype=object)[columns[model.series]]
        result = np.zeros(len(rows))
        for name in dict.fromkeys(names):
            own = names == name
            applied = [model.models[name]] if name in model.models else [*model.models.values()]
            for part in applied:
                result[own] += _forecast(part, rows[own])
            result[own] /= len(applied)
        return result


def _series(models: Mapping[Any, prophet.Prophet], features: pd.DataFrame | None) -> str:
    """Return the input that names the series."""
    categories = {} if features is None else features.select_dtypes("category").items()
    known = {str(name): set(map(str, values.cat.categories)) for name, values in dict(categories).items()}
    fitting = [name for name, values in known.items() if values.issuperset(map(str, models))]
    if len(fitting) != 1:
        raise ConfigurationError(
            f"there are models of the series {', '.join(map(str, models))[:200]}, and {len(fitting)} inputs that name "
            f"them, of the categories {', '.join(known) or 'none'}; let assemble give one"
        )
    return fitting[0]


def _takes(model: prophet.Prophet) -> list[str]:
    """Return what a model takes beside the time."""
    regressors = [name for name, about in model.extra_regressors.items() if about.get("predictor_spec") is None]
    bounds = [*(["cap"] if model.growth == "logistic" else []), *(["floor"] if model.logistic_floor else [])]
    return [*regressors, *bounds, *_conditions(model)]


def _conditions(model: prophet.Prophet) -> list[str]:
    return [about["condition_name"] for about in model.seasonalities.values() if about["condition_name"] is not None]


def _forecast(model: prophet.Prophet, rows: pd.DataFrame) -> np.ndarray:
    """Return a model's forecast for each row, in their order."""
    import numpy as np

    if rows.empty:
        return np.empty(0)
    conditions = {name: rows[name] == 1 for name in _conditions(model)}
    means = {name: about["mu"] for name, about in model.extra_regressors.items() if name in rows.columns}
    order = np.argsort(rows[TIME].to_numpy(), kind="stable")  # Prophet gives them by time
    result = np.empty(len(rows))
    try:
        result[order] = model.predict(rows.iloc[order].fillna(means).assign(**conditions))["yhat"].to_numpy()
    except ValueError as error:
        raise SourceDataError(f"Prophet can't forecast such rows: {str(error)[:300]}") from error
    return result


def _components(model: prophet.Prophet, frame: pd.DataFrame) -> pd.DataFrame:
    """Return what Prophet's ``predict_seasonal_components`` returns, each row to the bit what it is alone.

    Prophet multiplies matrices, and the order in which a product's terms are summed depends on the number of rows.
    """
    import numpy as np
    import pandas as pd

    features, _, columns, _ = model.make_all_seasonality_features(frame)
    table = np.ascontiguousarray(features.to_numpy(dtype="float64"))
    betas = np.nanmean(model.params["beta"], axis=0)
    made = {}
    for name in columns.columns:
        scale = model.y_scale if name in model.component_modes["additive"] else 1.0
        made[name] = (table * (betas * columns[name].to_numpy())).sum(axis=1) * scale
    return pd.DataFrame(made)


FLAVOR = Prophet()
