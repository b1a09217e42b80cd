"""PyTorch: what it trained is exported as ONNX, so that nothing that predicts needs PyTorch, and nothing unpickles."""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.backends.models import onnx
from airflow_mlops_provider.backends.models.base import Flavor
from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.exceptions import ConfigurationError, JobError

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    import torch

OPSET = 20
TOLERANCE = 1e-5
_PROVENANCE = ("doc_string", "metadata_props", "producer_name", "producer_version")


class Torch(Flavor):
    """PyTorch's networks, kept and applied as ONNX."""

    takes = ("torch.nn.modules.module.Module",)
    words = "a torch.nn.Module with `inputs`, the categories of each input or None for a number"
    to_train = ("torch", "onnx", "onnxscript", "onnxruntime")
    to_predict = ("onnxruntime",)
    extra = "torch"
    by_columns = True

    def save(self, model: torch.nn.Module, folder: Path, features: pd.DataFrame | None = None) -> None:
        """Write a network as ONNX, bytes the same for the same weights.

        :param model: a module with ``inputs``, each column's categories or None for a number, whose ``forward(numbers,
            codes)`` gives one probability a row; both as :func:`~..onnx.save` describes them.
        :param features: what it was trained on; a network says itself what it takes.
        :raises ConfigurationError: if it does not, or can't be exported.
        :raises JobError: if what was exported does not give what the network gives.
        """
        del features
        if not isinstance(getattr(model, "inputs", None), Mapping):
            raise ConfigurationError(
                f"the {type(model).__name__} does not say what it takes: give it `inputs`, a dict of each column's "
                "categories, or None for a number"
            )
        network = copy.deepcopy(model).cpu().eval()
        numbers, codes = _example(network.inputs)
        onnx.save(_graph(network, numbers, codes), network.inputs, folder)
        exported = onnx.load(folder).session.run(
            [onnx.PROBABILITY], {"numbers": numbers.numpy(), "codes": codes.numpy()}
        )
        expected = network(numbers, codes).detach().numpy()
        if exported[0].shape != expected.shape or abs(exported[0] - expected).max() > TOLERANCE:
            raise JobError(f"the exported network gives {exported[0].tolist()} where the trained one gives {expected}")

    def load(self, folder: Path) -> onnx.OnnxModel:
        return onnx.load(folder)

    def predict(self, model: onnx.OnnxModel, frame: pd.DataFrame | Columns) -> np.ndarray:
        return onnx.predict(model, frame)


def _example(inputs: dict[str, Any]) -> tuple[torch.Tensor, torch.Tensor]:
    """Return three rows: of missing values, of ones, of the last of each category."""
    import torch

    sizes = [len(known) for known in inputs.values() if known is not None]
    numbers = torch.ones(3, len(inputs) - len(sizes))
    numbers[0] = torch.nan
    codes = torch.zeros(3, len(sizes), dtype=torch.int64)
    codes[2] = torch.tensor(sizes, dtype=torch.int64)
    return numbers, codes


def _graph(network: torch.nn.Module, numbers: torch.Tensor, codes: torch.Tensor) -> bytes:
    import torch

    rows = torch.export.Dim("rows")
    with _quiet(), _exportable(network):
        program = torch.onnx.export(
            network,
            (numbers, codes),
            dynamo=True,
            verbose=False,
            opset_version=OPSET,
            input_names=[onnx.NUMBERS, onnx.CODES],
            output_names=[onnx.PROBABILITY],
            dynamic_shapes=({0: rows}, {0: rows}),
        )
    assert program is not None
    made = program.model_proto
    _forget(made)
    return bytes(made.SerializeToString(deterministic=True))


def _forget(message: Any) -> None:
    """Take out of a graph where it was made and from which lines: other folders must not mean other bytes."""
    for field, value in message.ListFields():
        if field.name in _PROVENANCE:
            message.ClearField(field.name)
        elif field.message_type is not None:
            for part in [value] if hasattr(value, "ListFields") else value:
                _forget(part)


@contextmanager
def _exportable(network: torch.nn.Module) -> Iterator[None]:
    """Say of a network that can't be exported that it is one, whatever the exporter raises: no retry makes it one."""
    try:
        yield
    except Exception as error:
        why = f"{type(error).__name__}: {error}"[:500]
        raise ConfigurationError(f"the {type(network).__name__} can't be exported as ONNX: {why}") from error


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what the exporter says of itself: it is not the user's to mend."""
    logs = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    levels = [log.level for log in logs]
    for log in logs:
        log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            yield
        finally:
            for log, level in zip(logs, levels, strict=True):
                log.setLevel(level)


FLAVOR = Torch()
