"""Small models of libraries in which it takes some lines to make one."""

from __future__ import annotations

import logging
from typing import Any

import numpy as np
import pandas as pd


def series() -> pd.DataFrame:
    """Return 90 days of two stations: when in seconds, the weather's warmth, and what was taken."""
    random = np.random.default_rng(4)
    days = pd.date_range("2024-01-01", periods=90)
    seconds = (days - pd.Timestamp(0)).total_seconds()
    frames = [
        pd.DataFrame({"ds": seconds, "station": station, "warmth": random.normal(size=90)}).assign(
            taken=lambda rows, factor=factor: (
                factor * (20 + 5 * np.sin(rows.index / 7 * 2 * np.pi) + 2 * rows["warmth"])
            )
        )
        for station, factor in (("north", 1.0), ("south", 3.0))
    ]
    return pd.concat(frames, ignore_index=True).astype({"station": "category"})


def forecast_of(rows: pd.DataFrame) -> Any:
    """Return a Prophet that was fitted on some rows of :func:`series`."""
    import prophet

    logging.getLogger("cmdstanpy").setLevel(logging.ERROR)
    model = prophet.Prophet(yearly_seasonality=False, daily_seasonality=False).add_regressor("warmth")
    table = pd.DataFrame({"ds": pd.to_datetime(rows["ds"], unit="s"), "y": rows["taken"], "warmth": rows["warmth"]})
    return model.fit(table, seed=1)


def graph(nodes: list[Any], inputs: list[Any], outputs: list[Any], arrays: dict[str, Any]) -> Any:
    """Return a graph of some nodes as an ``onnx.ModelProto``, of a version that onnxruntime has long known."""
    from onnx import helper, numpy_helper

    constants = [numpy_helper.from_array(np.asarray(values), name) for name, values in arrays.items()]
    made = helper.make_graph(nodes, "graph", inputs, outputs, constants)
    versions = [helper.make_opsetid("", 17), helper.make_opsetid("ai.onnx.ml", 3)]
    return helper.make_model(made, opset_imports=versions, ir_version=8)


def graph_of_numbers_and_codes() -> Any:
    """Return a network of two numbers and a category of three: a sigmoid of weights."""
    from onnx import TensorProto, helper

    nodes = [
        helper.make_node("MatMul", ["numbers", "weights"], ["summed"]),
        helper.make_node("Gather", ["table", "codes"], ["of_category"]),
        helper.make_node("Add", ["summed", "of_category"], ["both"]),
        helper.make_node("Sigmoid", ["both"], ["column"]),
        helper.make_node("Squeeze", ["column", "axis"], ["probability"]),
    ]
    arrays = {
        "weights": np.array([[0.3], [-0.2]], np.float32),
        "table": np.array([0.0, 0.5, -0.5, 1.0], np.float32),
        "axis": np.array([1]),
    }
    inputs = [
        helper.make_tensor_value_info("numbers", TensorProto.FLOAT, ["rows", 2]),
        helper.make_tensor_value_info("codes", TensorProto.INT64, ["rows", 1]),
    ]
    outputs = [helper.make_tensor_value_info("probability", TensorProto.FLOAT, ["rows"])]
    return graph(nodes, inputs, outputs, arrays)


def graph_of_classes(labels: tuple[int, ...] = (0, 1, 2), zipmap: bool = False) -> Any:
    """Return what skl2onnx makes of a linear classifier of two numbers.

    :param zipmap: it gives a map for each row, as skl2onnx does unless it is stopped.
    """
    from onnx import TensorProto, helper

    weights = [0.5, -0.1, -0.5, 0.3, 0.2, 0.4][: 2 * len(labels)]
    settings = {"classlabels_ints": [*labels], "coefficients": weights, "intercepts": [0.1, 0.2, 0.3][: len(labels)]}
    ml = {"domain": "ai.onnx.ml"}
    nodes = [
        helper.make_node(
            "LinearClassifier", ["X"], ["label", "probabilities"], post_transform="SOFTMAX", **settings, **ml
        ),
    ]
    inputs = [helper.make_tensor_value_info("X", TensorProto.FLOAT, [None, 2])]
    outputs = [
        helper.make_tensor_value_info("label", TensorProto.INT64, [None]),
        helper.make_tensor_value_info("probabilities", TensorProto.FLOAT, [None, len(labels)]),
    ]
    if zipmap:
        nodes.append(
            helper.make_node("ZipMap", ["probabilities"], ["output_probability"], classlabels_int64s=[*labels], **ml)
        )
        of_row = helper.make_map_type_proto(TensorProto.INT64, helper.make_tensor_type_proto(TensorProto.FLOAT, []))
        outputs[1] = helper.make_value_info("output_probability", helper.make_sequence_type_proto(of_row))
    return graph(nodes, inputs, outputs, {})
