"""ONNX: networks kept as a graph and its numbers, applied by onnxruntime without the library that trained them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.inputs import INPUTS_FILE, damaged, read_model, take, write_model

if TYPE_CHECKING:
    import numpy as np
    import onnxruntime
    import pandas as pd

MODEL_FILE = "model.onnx"
NUMBERS, CODES, PROBABILITY = "numbers", "codes", "probability"


@dataclass(frozen=True)
class OnnxModel:
    """A graph, ready to run, and the inputs that it takes, as :func:`take` has them."""

    session: onnxruntime.InferenceSession
    inputs: tuple[dict[str, Any], ...]


def save(graph: bytes, inputs: Mapping[str, Sequence[Any] | None], folder: Path) -> None:
    """Write a model as ``model.onnx`` and ``model.json`` (its SHA-256; the inputs' names and types).

    :param graph: takes ``numbers``, float32 with NaN for missing, and ``codes``, int64 of which 0 is a missing or
        unknown category and n the nth; gives ``probability``, a number a row.
    :param inputs: each column's categories, None for a number; numbers and codes come in this order.
    """
    described = [
        {"name": name, "dtype": "float64" if known is None else "category", "categories": known}
        for name, known in inputs.items()
    ]
    write_model(folder, MODEL_FILE, graph, described)


def load(folder: Path) -> OnnxModel:
    """Return the model that a folder holds. :raises IntegrityError: if a file is missing, cut short or damaged."""
    graph, inputs = read_model(folder, MODEL_FILE)
    session = _session(graph)
    categories = sum(entry["categories"] is not None for entry in inputs)
    widths = {NUMBERS: len(inputs) - categories, CODES: categories}
    if widths != {given.name: given.shape[1] for given in session.get_inputs()}:
        raise damaged(folder, f"{MODEL_FILE} and {INPUTS_FILE} name different inputs")
    return OnnxModel(session, inputs)


def predict(model: OnnxModel, frame: pd.DataFrame) -> np.ndarray:
    """Return predictions, as :meth:`~.base.LoadedModel.predict` describes them.

    A row's prediction is the same to the bit alone or among others, as each is computed alone, in one thread: which
    kernel a matrix product takes, and so its last bits, may depend on the number of rows. That costs some 30 µs a row.
    """
    import numpy as np

    numbers, codes = arrays(model.inputs, frame)
    run = model.session.run
    given = ({NUMBERS: numbers[row : row + 1], CODES: codes[row : row + 1]} for row in range(len(frame)))
    return np.fromiter((run([PROBABILITY], inputs)[0][0] for inputs in given), dtype=np.float64, count=len(frame))


def arrays(inputs: Sequence[Mapping[str, Any]], frame: pd.DataFrame) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers, float32 of shape (rows, numbers), and the codes, int64 of shape (rows, categories)."""
    import numpy as np

    table = take(inputs, frame)
    numbers = [table[entry["name"]] for entry in inputs if entry["categories"] is None]
    codes = [table[entry["name"]] for entry in inputs if entry["categories"] is not None]
    rows = len(frame)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, in training as here
        return (
            np.array(numbers, dtype="float32").reshape(len(numbers), rows).T.copy(),
            np.array(codes, dtype="int64").reshape(len(codes), rows).T + 1,
        )


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
