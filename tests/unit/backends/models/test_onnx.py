"""Graphs of any origin: what they take and give is seen in them, and what can't be given to them is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from onnx import TensorProto, helper

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, UnknownNameError
from tests.factories.models import graph, graph_of_classes, graph_of_numbers_and_codes

FRAME = pd.DataFrame({"wind": [0.5, -1.0, 2.0], "hour": [1, 7, 23]})
MIXED = FRAME.assign(carrier=pd.Categorical(["AA", "UA", "AA"], categories=["UA", "AA", "ZZ"]))


def test_numbers_and_codes(tmp_path: Path) -> None:
    """Numbers and categories go in their own order; 0 is a missing or unknown category, n the nth."""
    loaded = models.save(graph_of_numbers_and_codes(), tmp_path, "onnx", MIXED[["wind", "carrier", "hour"]])
    weights = {"UA": 0.5, "AA": -0.5, "ZZ": 1.0, "??": 0.0, None: 0.0}
    for carrier, weight in weights.items():
        summed = 0.3 * MIXED["wind"] - 0.2 * MIXED["hour"] + weight
        np.testing.assert_allclose(loaded.predict(MIXED.assign(carrier=carrier)), 1 / (1 + np.exp(-summed)), rtol=1e-5)


@pytest.mark.parametrize("labels", [(0, 1), (0, 1, 2), (0, 1, 3), (1, 2)])
def test_probabilities_go_by_the_labels_in_the_graph(labels: tuple[int, ...], tmp_path: Path) -> None:
    """As skl2onnx writes a classifier: one input, and a node that names its classes."""
    given = models.save(graph_of_classes(labels), tmp_path, "onnx", FRAME).predict(FRAME)
    assert given.shape == ((3,) if labels == (0, 1) else (3, labels[-1] + 1))
    if labels != (0, 1):
        np.testing.assert_allclose(given.sum(axis=1), 1, rtol=1e-6)
        absent = set(range(labels[-1] + 1)) - set(labels)
        assert not given[:, sorted(absent)].any()


def of_columns(kinds: dict[str, int], outputs: dict[str, int]) -> Any:
    """Return a graph that takes each column by its name, and gives the first as each of its outputs."""
    inputs = [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in kinds.items()]
    made = [helper.make_tensor_value_info(name, kind, [None, 1]) for name, kind in outputs.items()]
    nodes = [helper.make_node("Cast", [next(iter(kinds))], [name], to=kind) for name, kind in outputs.items()]
    return graph(nodes, inputs, made, {})


def test_columns_by_name(tmp_path: Path) -> None:
    """Whole numbers as such, categories as text: what skl2onnx makes of a pipeline that takes a frame."""
    kinds = {"hour": TensorProto.INT64, "wind": TensorProto.DOUBLE, "carrier": TensorProto.STRING}
    made = of_columns(kinds, {"variable": TensorProto.FLOAT})
    np.testing.assert_array_equal(models.save(made, tmp_path, "onnx", MIXED).predict(MIXED), [1, 7, 23])


def test_what_a_graph_cannot_be_given_is_refused(tmp_path: Path) -> None:
    """Other columns, categories as numbers, and outputs of which nobody can tell which one is meant."""
    floats, text = TensorProto.FLOAT, TensorProto.STRING
    for made, features, error, said in (
        (graph_of_classes(), FRAME.assign(gust=1.0), ConfigurationError, "X has 2 columns, but there are 3"),
        (graph_of_classes(), MIXED, ConfigurationError, "carrier are categories, and X holds numbers alone"),
        (graph_of_numbers_and_codes(), FRAME, ConfigurationError, "codes has 1 columns, but there are 0"),
        (graph_of_classes(zipmap=True), FRAME, ConfigurationError, "say options={'zipmap': False}"),
        (of_columns({"wind": floats, "gust": floats}, {"y": floats}), FRAME, UnknownNameError, "model 'gust'; known"),
        (
            of_columns({"wind": floats, "carrier": floats}, {"y": floats}),
            MIXED,
            ConfigurationError,
            "carrier: a category",
        ),
        (of_columns({"wind": floats, "hour": text}, {"y": floats}), FRAME, ConfigurationError, "hour: a category is"),
        (of_columns({"X": TensorProto.BOOL}, {"y": floats}), FRAME, ConfigurationError, r"X is a tensor\(bool\)"),
        (
            of_columns({"wind": floats}, {"a": floats, "b": floats}),
            FRAME[["wind"]],
            ConfigurationError,
            "gives a, b; name",
        ),
        (of_columns({"wind": floats}, {"y": TensorProto.INT64}), FRAME[["wind"]], ConfigurationError, "must be floats"),
    ):
        with pytest.raises(error, match=said):
            models.save(made, tmp_path, "onnx", features)
    assert not list(tmp_path.iterdir())


def test_classes_are_codes(tmp_path: Path) -> None:
    """A graph that was trained on names is refused, with what to do."""
    made = graph_of_classes()
    (labels,) = [part for part in made.graph.node[0].attribute if part.name == "classlabels_ints"]
    labels.CopyFrom(helper.make_attribute("classlabels_strings", ["no", "yes", "maybe"]))
    made.graph.output[0].type.tensor_type.elem_type = TensorProto.STRING
    with pytest.raises(ConfigurationError, match="classes are text, such as 'no'; train it on the label as"):
        models.save(made, tmp_path, "onnx", FRAME)


def test_a_graph_that_does_not_run_is_refused(tmp_path: Path) -> None:
    """What onnxruntime says of it is told when it is kept."""
    made = of_columns({"wind": TensorProto.FLOAT}, {"y": TensorProto.FLOAT})
    made.graph.node[0].op_type = "NoSuchNode"
    with pytest.raises(ConfigurationError, match=r"onnxruntime can't run the graph: .*NoSuchNode"):
        models.save(made, tmp_path, "onnx", FRAME[["wind"]])


def test_files_of_two_graphs_are_no_model(tmp_path: Path) -> None:
    """A description of more inputs than the graph takes is damage."""
    models.save(graph_of_classes(), tmp_path, "onnx", FRAME)
    text = (tmp_path / "model.json").read_text()
    more = '"inputs": [{"name": "gust", "dtype": "float64", "categories": null},'
    (tmp_path / "model.json").write_text(text.replace('"inputs": [', more))
    with pytest.raises(IntegrityError, match="name different inputs"):
        models.load(tmp_path)


def test_a_rows_prediction_is_its_own(tmp_path: Path) -> None:
    """To the bit, in a network wide enough that kernels differ by the number of rows."""
    random = np.random.default_rng(1)
    frame = pd.DataFrame(random.normal(size=(200, 60))).add_prefix("x")
    nodes = [
        helper.make_node("MatMul", ["X", "first"], ["hidden"]),
        helper.make_node("Tanh", ["hidden"], ["bent"]),
        helper.make_node("MatMul", ["bent", "last"], ["y"]),
    ]
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 60])]
    outputs = [helper.make_tensor_value_info("y", TensorProto.FLOAT, [None, 2])]
    arrays = {
        name: random.normal(size=size).astype("float32") for name, size in (("first", (60, 90)), ("last", (90, 2)))
    }
    loaded = models.save(graph(nodes, inputs, outputs, arrays), tmp_path, "onnx", frame)
    whole = loaded.predict(frame)
    assert whole.shape == (200, 2)
    for row in range(0, 200, 7):
        np.testing.assert_array_equal(loaded.predict(frame.iloc[[row]])[0], whole[row])
