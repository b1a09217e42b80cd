"""What a model takes of a frame, whatever its library: columns by name, of the types that its training saw."""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Collection, Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.columns import Category, Column, Columns, rows_of
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, SourceDataError, UnknownNameError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd

INPUTS_FILE = "model.json"
EXACT = 2**53  # the last whole number up to which float64 holds every one


def take(inputs: Sequence[Mapping[str, Any]], given: pd.DataFrame | Columns) -> dict[str, np.ndarray]:
    """Return a model's inputs: float64, or a category's place among those that training saw, -1 for any other.

    :param inputs: ``name`` and ``categories`` (None for a number) of each, in the model's order.
    :raises SourceDataError: if an input is missing or of a type that the model cannot take.
    """
    missing = [entry["name"] for entry in inputs if entry["name"] not in given]
    if missing:
        raise SourceDataError(f"the model needs columns that are not there: {', '.join(missing)}")
    if isinstance(given, Columns):
        return {entry["name"]: _array(entry["name"], given[entry["name"]], entry["categories"]) for entry in inputs}
    return {entry["name"]: _column(given[entry["name"]], entry["categories"]) for entry in inputs}


def matrix(inputs: Sequence[Mapping[str, Any]], given: pd.DataFrame | Columns) -> np.ndarray:
    """Return a model's inputs as float64 of shape (rows, inputs): NaN for what is missing, categories by their place.

    It is what libraries of trees make of a frame themselves, in a twentieth of the time for a single row.
    """
    import numpy as np

    columns = take(inputs, given)
    table = np.empty((len(inputs), rows_of(given)))
    for place, (entry, values) in enumerate(zip(inputs, columns.values(), strict=True)):
        table[place] = values
        if entry["categories"] is not None:
            table[place][values < 0] = np.nan
    return table.T.copy()


def typed(inputs: Sequence[Mapping[str, Any]], given: pd.DataFrame | Columns) -> pd.DataFrame:
    """Return a model's inputs as a frame: float64, or the categories that training saw; missing for any other."""
    import pandas as pd

    columns = take(inputs, given)
    known = {entry["name"]: entry["categories"] for entry in inputs}
    return pd.DataFrame(
        {
            name: values if known[name] is None else pd.Categorical.from_codes(values, known[name])
            for name, values in columns.items()
        }
    )


def inputs_of(names: Sequence[str], features: pd.DataFrame | None) -> list[dict[str, Any]]:
    """Return what ``model.json`` says of a model's inputs, by the types of what it was trained on.

    :param names: the inputs, in the model's order.
    :param features: None where nobody can tell; all are numbers then.
    :raises UnknownNameError: if one is not among the features.
    """
    if features is None:
        return [{"name": name, "dtype": "float64", "categories": None} for name in names]
    for unknown in [name for name in names if name not in features.columns]:
        raise UnknownNameError("input of the trained model", str(unknown), map(str, features.columns))
    dtypes = {name: features[name].dtype for name in names}
    known = {name: dtype.categories.to_list() if dtype.name == "category" else None for name, dtype in dtypes.items()}
    return [
        {"name": name, "dtype": "float64" if known[name] is None else "category", "categories": known[name]}
        for name in names
    ]


def numbers(features: pd.DataFrame) -> pd.DataFrame:
    """Return inputs as predicting gives them, so that training sees the same: all but categories as float64."""
    return features.astype({name: "float64" for name, dtype in features.dtypes.items() if dtype.kind in "biuf"})


def plain_names(columns: Iterable[str], unfit: re.Pattern[str]) -> dict[str, str]:
    """Return the name under which a library knows each column: its own if that will do, no two the same.

    :param unfit: what the library refuses in a name, or writes otherwise.
    """
    names = list(columns)
    taken = {name for name in names if not unfit.search(name)}
    kept = {name: name for name in names}
    for name in names:
        if name in taken:
            continue
        plain = unfit.sub("_", name)
        while plain in taken:
            plain += "_"
        kept[name] = plain
        taken.add(plain)
    return kept


def write_model(
    folder: Path,
    file: str,
    data: bytes,
    inputs: Sequence[Mapping[str, Any]],
    **further: Any,
) -> None:
    """Write a model's file into a folder, and beside it ``model.json``: its SHA-256, and what the model takes.

    :param inputs: for each, ``name``, ``dtype`` and ``categories`` (None for a number), in the model's order.
    :param further: what else is to be read there, such as ``classes``; what is None is left out.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / file).write_bytes(data)
    said = {name: value for name, value in further.items() if value is not None}
    _describe(folder, {"format": 1, "sha256": hashlib.sha256(data).hexdigest(), "inputs": [*inputs], **said})


def name_flavor(folder: Path, flavor: str) -> None:
    """Add to a model's ``model.json`` which flavor kept it."""
    _describe(folder, {**described(folder), "flavor": flavor})


def described(folder: Path) -> dict[str, Any]:
    """Return what a model's ``model.json`` says. :raises IntegrityError: if there is none, or it is damaged."""
    try:
        read = json.loads((folder / INPUTS_FILE).read_text())
    except (OSError, ValueError) as error:
        raise damaged(folder, str(error)) from error
    if not isinstance(read, dict):
        raise damaged(folder, f"{INPUTS_FILE} is a {type(read).__name__}")
    return read


def is_text(entry: Mapping[str, Any]) -> bool:
    """Say whether an input is a category of texts; any other is a number, or a category of numbers."""
    return any(isinstance(value, str) for value in entry["categories"] or ())


def _describe(folder: Path, what: Mapping[str, Any]) -> None:
    (folder / INPUTS_FILE).write_text(json.dumps(what, indent=2, sort_keys=True, allow_nan=False) + "\n")


def read_model(folder: Path, file: str) -> tuple[bytes, tuple[dict[str, Any], ...]]:
    """Return the bytes of a model's file, and what the model takes. :raises IntegrityError: if either is damaged."""
    try:
        written = described(folder)
        data = (folder / file).read_bytes()
        recorded, inputs = written["sha256"], tuple(written["inputs"])
        whole = all({"name", "categories"} <= entry.keys() for entry in inputs)
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged(folder, str(error)) from error
    if hashlib.sha256(data).hexdigest() != recorded:
        raise damaged(folder, f"{file} is not what was saved")
    if not whole:
        raise damaged(folder, f"{INPUTS_FILE} does not say what the model takes")
    return data, inputs


def damaged(folder: Path, why: str) -> IntegrityError:
    """Return the error for a model that cannot be what was saved."""
    return IntegrityError(f"the model in {folder} is damaged ({why[:200]}); run the training again")


def assembled(frame: Any, rows: pd.Index, code: str) -> pd.DataFrame:
    """Return what a product's ``assemble`` made of some rows, once it is a row for each of them, in their order.

    :param rows: the index of the rows that it was given.
    :param code: the function, as messages name it.
    :raises ConfigurationError: if it is anything else.
    """
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        raise ConfigurationError(f"{code} returned {type(frame).__name__}; it must return a DataFrame")
    check_names(frame, code)
    if len(frame) != len(rows):
        raise ConfigurationError(f"{code} returned {len(frame)} rows for {len(rows)}; each row needs its own")
    if not frame.index.equals(rows) and frame.index.is_unique and frame.index.isin(rows).all():
        raise ConfigurationError(f"{code} returned the rows in another order; give them back in that of the rows given")
    return frame


def check_names(frame: pd.DataFrame, code: str) -> None:
    """Make sure that each column of a frame has a name of its own. :raises ConfigurationError: naming the one."""
    odd = [name for name in frame.columns if not isinstance(name, str)]
    if odd:
        raise ConfigurationError(f"{code} returned a column named {odd[0]!r}; names must be text")
    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise ConfigurationError(f"{code} returned column {twice!r} twice; each needs a name of its own")


def check_learnable(features: pd.DataFrame, reserved: Collection[str]) -> None:
    """Make sure that a model can learn from some inputs, and be given the same ones later.

    :param reserved: the names under which predictions stand beside the inputs.
    :raises ConfigurationError: if there is none, or a name or type can't be an input; it names the column.
    :raises SourceDataError: if there are no rows, or a number is one that no model keeps exactly.
    """
    if not len(features.columns):
        raise ConfigurationError("assemble returned no column: there is nothing to learn from")
    if features.empty:
        raise SourceDataError("there is no row to learn from")
    if taken := [name for name in features.columns if name in reserved]:
        raise ConfigurationError(f"a model input is named {taken[0]!r}, as predictions are; name it otherwise")
    for name, values in features.items():
        _check_learnable(str(name), values)


def _check_learnable(name: str, values: pd.Series) -> None:
    if values.dtype.kind in "mMc":
        raise ConfigurationError(
            f"model input {name!r} is {values.dtype}, such as {values.iloc[0]}; make it a number in assemble"
        )
    if values.dtype.name == "category":
        _check_categories(name, values.cat.categories)
    elif values.dtype.kind in "iu":
        great = values[(values > EXACT) | (values < -EXACT)]
        if len(great):
            raise SourceDataError(
                f"model input {name!r} holds {great.iloc[0]} (row {great.index[0]}), which no model keeps exactly: "
                "numbers go up to 2**53; make it a category, or leave it out"
            )


def _check_categories(name: str, categories: pd.Index) -> None:
    kind = _kind(categories)
    odd = [value for value in categories if not math.isfinite(value)] if kind == "number" else []
    if kind is None or odd:
        raise ConfigurationError(
            f"model input {name!r} has categories such as {odd[0] if odd else categories[0]!r} "
            f"({categories.inferred_type}); they must be all text, or all finite numbers: use .astype(str) in assemble"
        )


def _kind(values: Any) -> str | None:
    """Return ``text`` or ``number`` for plain values of one kind, an empty text for no value at all, else None."""
    from pandas.api.types import infer_dtype

    kinds = dict.fromkeys(("integer", "boolean", "floating", "mixed-integer-float", "decimal"), "number")
    return {**kinds, "string": "text", "empty": ""}.get(infer_dtype(values, skipna=True))


def _array(name: str, values: Column, categories: Sequence[Any] | None) -> np.ndarray:
    """Return what :func:`_column` does of a series, the usual ones without making one."""
    if isinstance(values, Category):
        if categories is not None and list(values.categories) == list(categories):
            return values.codes
    elif categories is None and values.dtype.kind in "biuf":
        return values if values.dtype == "float64" else values.astype("float64")  # type: ignore[no-any-return]
    elif categories and {type(value) for value in (*categories, *values)} <= {str, type(None)}:
        return Category.of(values, categories).codes
    return _column(Columns({name: values}).frame()[name], categories)


def _column(values: pd.Series, categories: Sequence[Any] | None) -> np.ndarray:
    import numpy as np
    import pandas as pd

    if categories is not None:
        if isinstance(values.dtype, pd.CategoricalDtype) and values.dtype.categories.tolist() == list(categories):
            return np.asarray(values.array.codes)
        _same_kind(values, categories)
        known = pd.Index(categories)
        if pd.api.types.is_bool_dtype(known) or pd.api.types.is_bool_dtype(values):
            # JSON and MLflow have 1.0 for True: pandas takes them for the same among objects alone.
            known, values = known.astype(object), values.astype(object)
        return np.asarray(pd.Categorical(values, dtype=pd.CategoricalDtype(known)).codes)
    if isinstance(values.dtype, pd.CategoricalDtype):
        raise SourceDataError(f"column {values.name!r} is categorical, but the model was trained on numbers")
    try:
        # One width for every caller: a single row with nothing but missing values arrives as object.
        return np.asarray(values if values.dtype == np.float64 else values.astype("float64"))
    except (TypeError, ValueError) as error:
        raise SourceDataError(f"column {values.name!r} must hold numbers: {error}") from error


def _same_kind(values: pd.Series, categories: Sequence[Any]) -> None:
    """Refuse text where categories are numbers, or numbers where they are text: none would ever be found again."""
    import pandas as pd

    trained = _kind(list(categories))
    given = _kind(values.cat.categories if isinstance(values.dtype, pd.CategoricalDtype) else values)
    if trained and given != trained and values.notna().any():
        odd = values[values.notna()].astype(object).iloc[0]
        raise SourceDataError(
            f"column {values.name!r} holds {odd!r}, but the model was trained on categories "
            f"that are {trained}, such as {categories[0]!r}"
        )
