"""What applies an MLflow model, in a process and an environment of its own, where this package is not installed.

It reads a request on each line of its input, and answers on a line of its output; both are JSON. What the model prints
goes where its errors go.
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

#: What a signature's types are in a frame, where the number of a row is one of them; NaN stays what it is.
_TYPES = {"integer": "int32", "long": "int64", "float": "float32", "boolean": "bool"}


def main(folder: str) -> None:
    """Load a model, say so, and answer until the input ends."""
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)

    def answer(**said: Any) -> None:
        print(json.dumps(said), file=answers, flush=True)

    try:
        import mlflow.pyfunc

        model = mlflow.pyfunc.load_model(folder)
        schema = model.metadata.get_input_schema()
        named = schema is not None and not schema.is_tensor_spec()
        types = {spec.name: spec.type.name for spec in schema.inputs if hasattr(spec.type, "name")} if named else {}
    except Exception as error:  # noqa: BLE001 - whatever it is, whoever waits is to hear of it
        answer(error=f"{type(error).__name__}: {error}")
        return
    answer(ready=True)
    for line in sys.stdin:
        try:
            answer(rows=predict(model, types, **json.loads(line)))
        except Exception as error:  # noqa: BLE001 - see above
            answer(error=f"{type(error).__name__}: {error}")


def predict(model: Any, types: dict[str, str], columns: dict[str, Any], rows: int) -> list[Any]:
    """Return what a model gives for each row, a number or a list of them.

    :param types: of the model's signature, by the columns' names.
    :param columns: ``values`` and ``categories`` (None for numbers) of each.
    """
    import numpy as np
    import pandas as pd

    frame = pd.DataFrame(index=range(rows or 1))
    for name, column in columns.items():
        frame[name] = _column(column["values"] if rows else [None], column["categories"], types.get(name))
    given = [np.asarray(model.predict(_typed(frame.iloc[[row]], types)), dtype="float64") for row in range(len(frame))]
    odd = [part.shape for part in given if part.ndim > 2 or part.shape[:1] not in {(), (1,)}]
    if odd:
        raise ValueError(f"the model gives an array of shape {odd[0]} for a row; it must give a number, or some")
    flat = [part.reshape(1, -1) for part in given]
    table = np.concatenate(flat)[:rows]
    answers: list[Any] = (table[:, 0] if table.shape[1] == 1 else table).tolist()
    return answers


def _column(values: list[Any], categories: list[Any] | None, kind: str | None) -> Any:
    import pandas as pd

    if categories is None:
        return pd.Series(values, dtype="float64")
    if kind is None:  # without a signature, the model gets what training saw
        return pd.Categorical(values, categories=categories)
    return pd.Series(values, dtype="object" if kind == "string" else None)


def _typed(row: Any, types: dict[str, str]) -> Any:
    """Return a row with its signature's types, where its values are such: MLflow takes no float64 for a whole number.

    What is none, a gap or a fraction, is left for MLflow to refuse.
    """
    fitting = {name: _TYPES[kind] for name, kind in types.items() if kind in _TYPES and name in row.columns}
    return row.astype({name: kind for name, kind in fitting.items() if kind == "float32" or _is_whole(row[name])})


def _is_whole(values: Any) -> bool:
    return bool(values.notna().all() and (values.astype("float64") % 1 == 0).all())


if __name__ == "__main__":
    main(sys.argv[1])
