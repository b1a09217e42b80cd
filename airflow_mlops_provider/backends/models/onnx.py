"""ONNX: graphs of any origin, applied by onnxruntime without the library that trained them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models.base import Flavor, installed_as
from airflow_mlops_provider.backends.models.columns import Columns, rows_of
from airflow_mlops_provider.backends.models.inputs import (
    INPUTS_FILE,
    damaged,
    described,
    inputs_of,
    read_model,
    take,
    write_model,
)
from airflow_mlops_provider.backends.models.outputs import per_class
from airflow_mlops_provider.exceptions import ConfigurationError

if TYPE_CHECKING:
    import numpy as np
    import onnx
    import onnxruntime
    import pandas as pd

MODEL_FILE = "model.onnx"
NUMBERS, CODES, PROBABILITY = "numbers", "codes", "probability"
#: What skl2onnx calls the probabilities of classes.
PROBABILITIES = ("probabilities", "output_probability")
_TYPES = {"tensor(float)": "float32", "tensor(double)": "float64", "tensor(int64)": "int64", "tensor(string)": "object"}
#: In which a classifier's node names its classes.
_CLASSES = ("classlabels_ints", "classlabels_int64s")


@dataclass(frozen=True)
class OnnxModel:
    """A graph, ready to run.

    :param inputs: ``name`` and ``categories`` (None for a number) of each, as :func:`take` has them.
    :param output: which of its outputs are the predictions.
    :param classes: the codes of the classes whose probabilities these are; None if they are nothing of the kind.
    """

    session: onnxruntime.InferenceSession
    inputs: tuple[dict[str, Any], ...]
    output: str
    classes: list[int] | None = None


class Onnx(Flavor):
    """Graphs that take a table.

    They take ``numbers``, float32 of shape (rows, numbers) with NaN for missing, and, if there are categories,
    ``codes``, int64 of which 0 is a missing or unknown category and n the nth; or one array of all inputs, as skl2onnx
    makes it of numbers; or each column under its name, of shape (rows, 1), text for a category.
    They give ``probability``, or ``probabilities`` of classes, or nothing but the predictions.
    """

    takes = ("onnx.onnx_ml_pb2.ModelProto",)
    words = "an onnx.ModelProto"
    to_predict = (installed_as("onnxruntime", "onnxruntime-gpu"),)
    to_train = ("onnx", *to_predict)
    extra = "onnx"
    by_columns = True

    def save(self, model: onnx.ModelProto, folder: Path, features: pd.DataFrame | None = None) -> None:
        """Write a graph as ``model.onnx`` and ``model.json`` (its SHA-256; the inputs' names and types).

        :raises ConfigurationError: if it can't be run, or takes or gives anything else.
        """
        try:
            graph = bytes(model.SerializeToString(deterministic=True))
            session = _session(graph)
        except Exception as error:  # onnxruntime's own have no base but this
            raise ConfigurationError(f"onnxruntime can't run the graph: {str(error)[:500]}") from error
        given = [given.name for given in session.get_inputs()]
        together = features is not None and (len(given) == 1 or set(given) <= {NUMBERS, CODES})
        inputs = inputs_of([*features.columns] if features is not None and together else given, features)
        if wrong := _unfit(session, inputs):
            raise ConfigurationError(f"the graph does not take what the trainer was given: {wrong}")
        write_model(folder, MODEL_FILE, graph, inputs, classes=_classes(model, session))

    def load(self, folder: Path) -> OnnxModel:
        return load(folder)

    def predict(self, model: OnnxModel, frame: pd.DataFrame | Columns) -> np.ndarray:
        return predict(model, frame)


def save(graph: bytes, inputs: Mapping[str, Sequence[Any] | None], folder: Path) -> None:
    """Write a network that takes ``numbers`` and ``codes``, and gives ``probability``, a number a row.

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
    if _unfit(session, inputs):
        raise damaged(folder, f"{MODEL_FILE} and {INPUTS_FILE} name different inputs")
    return OnnxModel(session, inputs, _output(session), described(folder).get("classes"))


def predict(model: OnnxModel, frame: pd.DataFrame | Columns) -> np.ndarray:
    """Return predictions, as :meth:`~.base.LoadedModel.predict` describes them.

    A row's prediction is the same to the bit alone or among others, as each is computed alone, in one thread: which
    kernel a matrix product takes, and so its last bits, may depend on the number of rows. That costs some 30 µs a row.
    """
    import numpy as np
    import pandas as pd

    # Of a graph without rows, nobody knows how many outputs it has.
    rows = rows_of(frame)
    empty = dict.fromkeys(entry["name"] for entry in model.inputs)
    columns = _arrays(model, frame if rows else pd.DataFrame([empty]))
    run = model.session.run
    given = (
        run([model.output], {name: values[row : row + 1] for name, values in columns.items()})[0]
        for row in range(max(1, rows))
    )
    return per_class(np.concatenate(list(given)).astype(np.float64)[:rows], model.classes)


def arrays(inputs: Sequence[Mapping[str, Any]], frame: pd.DataFrame | Columns) -> tuple[np.ndarray, np.ndarray]:
    """Return the numbers, float32 of shape (rows, numbers), and the codes, int64 of shape (rows, categories)."""
    import numpy as np

    table = take(inputs, frame)
    numbers = [table[entry["name"]] for entry in inputs if entry["categories"] is None]
    codes = [table[entry["name"]] for entry in inputs if entry["categories"] is not None]
    rows = rows_of(frame)
    with np.errstate(over="ignore"):  # what float32 cannot hold is infinite, in training as here
        return (
            np.array(numbers, dtype="float32").reshape(len(numbers), rows).T.copy(),
            np.array(codes, dtype="int64").reshape(len(codes), rows).T + 1,
        )


def _arrays(model: OnnxModel, frame: pd.DataFrame | Columns) -> dict[str, np.ndarray]:
    """Return what a graph's inputs are given."""
    import numpy as np

    kinds = {given.name: _TYPES[given.type] for given in model.session.get_inputs()}
    if set(kinds) <= {NUMBERS, CODES}:
        both = dict(zip((NUMBERS, CODES), arrays(model.inputs, frame), strict=True))
        return {name: both[name] for name in kinds}
    columns = take(model.inputs, frame)
    with np.errstate(over="ignore", invalid="ignore"):
        if len(kinds) == 1:
            ((name, kind),) = kinds.items()
            return {name: np.stack([*columns.values()], axis=1).astype(kind)}
        known = {entry["name"]: entry["categories"] for entry in model.inputs}
        return {
            name: np.array([*known[name], ""], dtype=object)[values][:, None]
            if kinds[name] == "object"
            else values.astype(kinds[name])[:, None]
            for name, values in columns.items()
        }


def _unfit(session: onnxruntime.InferenceSession, inputs: Sequence[Mapping[str, Any]]) -> str:
    """Return what a graph takes otherwise; empty if it takes those inputs."""
    takes = {given.name: given for given in session.get_inputs()}
    categories = [entry["name"] for entry in inputs if entry["categories"] is not None]
    if odd := [f"{name} is a {given.type}" for name, given in takes.items() if given.type not in _TYPES]:
        return ", ".join(odd)
    if set(takes) <= {NUMBERS, CODES}:
        widths = {NUMBERS: len(inputs) - len(categories), CODES: len(categories)}
    elif len(takes) == 1:
        if categories:
            return f"{', '.join(categories)} are categories, and {', '.join(takes)} holds numbers alone"
        widths = dict.fromkeys(takes, len(inputs))
    else:
        texts = {name for name, given in takes.items() if given.type == "tensor(string)"}
        odd_kinds = sorted(texts.symmetric_difference(categories))
        return f"{', '.join(odd_kinds)}: a category is given as text" if odd_kinds else ""
    has = {name: takes[name].shape[-1] if name in takes else 0 for name in widths}
    wrong = {name: width for name, width in widths.items() if isinstance(has[name], int) and has[name] != width}
    return ", ".join(f"{name} has {has[name]} columns, but there are {width}" for name, width in wrong.items())


def _output(session: onnxruntime.InferenceSession) -> str:
    """Return which output of a graph its predictions are. :raises ConfigurationError: if none can be."""
    gives = {given.name: given.type for given in session.get_outputs()}
    names = [name for name in (PROBABILITY, *PROBABILITIES) if name in gives] or [*gives][: len(gives) == 1]
    if not names:
        raise ConfigurationError(
            f"the graph gives {', '.join(gives)}; name what it predicts {PROBABILITY!r} or {PROBABILITIES[0]!r}"
        )
    if gives[names[0]] not in {"tensor(float)", "tensor(double)"}:
        raise ConfigurationError(
            f"the graph gives {names[0]} as {gives[names[0]]}; it must be floats: for skl2onnx, say "
            "options={'zipmap': False}"
        )
    return names[0]


def _classes(model: onnx.ModelProto, session: onnxruntime.InferenceSession) -> list[int] | None:
    """Return the codes of the classes of which a graph gives probabilities; None if it gives none."""
    output = _output(session)
    if output not in PROBABILITIES:
        return None
    labels = {part.name: part for node in model.graph.node for part in node.attribute if "classlabels" in part.name}
    for name, part in labels.items():
        if name not in _CLASSES and len(part.strings):
            raise ConfigurationError(
                f"the graph's classes are text, such as {part.strings[0].decode()!r}; train it on the label as the "
                "trainer is given it: whole numbers from 0 on"
            )
    codes = [list(labels[name].ints) for name in _CLASSES if name in labels]
    width = next(given.shape[-1] for given in session.get_outputs() if given.name == output)
    return codes[0] if codes else list(range(width)) if isinstance(width, int) else None


def _session(graph: bytes) -> onnxruntime.InferenceSession:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.use_deterministic_compute = True
    options.log_severity_level = 3
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


FLAVOR = Onnx()
