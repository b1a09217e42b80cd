"""The network, and the settings that make PyTorch give the same twice."""

from __future__ import annotations

import os
import random
from itertools import pairwise
from typing import Any

import numpy as np
import pandas as pd
import torch
from sklearn.metrics import roc_auc_score
from torch import nn

from airflow_mlops_provider.exceptions import UnknownNameError

PRECISIONS = {"float32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}
WORKSPACE = "CUBLAS_WORKSPACE_CONFIG"
FAR = 8.0  # standard deviations beyond which a number is no further away


class Network(nn.Module):
    """Embeddings of the categories and normalised numbers with a mark where one is missing, through a few layers.

    What it knows of categories, means and spreads is the training rows' alone. Its ``inputs`` are each column's known
    categories, None for a number; a category not among them, or none, has an embedding of its own.
    """

    def __init__(self, rows: pd.DataFrame, settings: dict[str, Any]) -> None:
        super().__init__()
        self.inputs = {name: _known(rows[name], name in settings["embed"]) for name in rows.columns}
        self.facts: dict[str, Any] = {}
        self.metrics: dict[str, float] = {}
        numbers, _ = self.encode(rows)
        centre, spread = _scale(numbers.numpy())
        self.register_buffer("centre", centre)
        self.register_buffer("spread", spread)
        sizes = [(len(known) + 1, settings["embedding"]) for known in self.inputs.values() if known is not None]
        self.embeddings = nn.ModuleList(nn.Embedding(*size) for size in sizes)
        widths = [2 * numbers.shape[1] + sum(width for _, width in sizes), *settings["hidden"]]
        layers: list[nn.Module] = []
        for width, following in pairwise(widths):
            layers += [nn.Linear(width, following), nn.ReLU(), nn.Dropout(settings["dropout"])]
        self.layers = nn.Sequential(*layers, nn.Linear(widths[-1], 1))

    def encode(self, rows: pd.DataFrame) -> tuple[torch.Tensor, torch.Tensor]:
        """Return the numbers, float32 with NaN where missing, and the codes, 0 for a missing or unknown category."""
        numbers = [rows[name].astype("float64") for name, known in self.inputs.items() if known is None]
        codes = [
            pd.Categorical(rows[name], categories=known).codes.astype("int64") + 1
            for name, known in self.inputs.items()
            if known is not None
        ]
        return (
            torch.from_numpy(np.array(numbers, dtype="float32").reshape(len(numbers), len(rows)).T.copy()),
            torch.from_numpy(np.array(codes, dtype="int64").reshape(len(codes), len(rows)).T.copy()),
        )

    def logits(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return the logarithm of the odds for each row."""
        missing = torch.isnan(numbers)
        scaled = ((numbers - self.centre) / self.spread).clamp(-FAR, FAR)
        parts = [torch.where(missing, torch.zeros_like(scaled), scaled), missing.to(scaled.dtype)]
        parts += [embedding(codes[:, index]) for index, embedding in enumerate(self.embeddings)]
        return self.layers(torch.cat(parts, dim=1))[:, 0]

    def forward(self, numbers: torch.Tensor, codes: torch.Tensor) -> torch.Tensor:
        """Return the probability for each row."""
        return torch.sigmoid(self.logits(numbers, codes))

    def auc(self, rows: pd.DataFrame, label: pd.Series) -> float:
        """Return the area under the ROC curve on some rows, as the network now is."""
        numbers, codes = (part.to(self.centre.device) for part in self.encode(rows))
        self.eval()
        with torch.no_grad():
            return float(roc_auc_score(label, self.logits(numbers, codes).cpu().numpy()))


def device(name: str) -> torch.device:
    """Return the device of that name; ``auto`` is the GPU if there is one. :raises UnknownNameError: for any other."""
    usable = ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]
    if name not in {"auto", *usable}:
        raise UnknownNameError("device", name, ["auto", *usable])
    return torch.device(usable[-1] if name == "auto" else name)


def precision(name: str, where: torch.device) -> torch.dtype:
    """Return the type in which the layers compute; ``auto`` is a reduced one on a GPU, bf16 if it has that.

    :raises UnknownNameError: for any other.
    """
    if name not in {"auto", *PRECISIONS}:
        raise UnknownNameError("precision", name, ["auto", *PRECISIONS])
    if name != "auto":
        return PRECISIONS[name]
    if where.type == "cpu":
        return torch.float32
    return torch.bfloat16 if torch.cuda.is_bf16_supported() else torch.float16


def deterministic(seed: int, threads: int, where: torch.device, kind: torch.dtype) -> dict[str, Any]:
    """Settle what else would differ from run to run, and return how, for the record.

    The number of threads decides in which order sums are taken; a GPU's matrix products repeat themselves only with a
    workspace of fixed size, which is read when they are first used.
    """
    os.environ.setdefault(WORKSPACE, ":4096:8")
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)  # of every device
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(True)
    torch.backends.cudnn.benchmark = False
    gpu = where.type == "cuda"
    return {
        "device": where.type,
        "device_name": torch.cuda.get_device_name(where) if gpu else f"CPU, {torch.backends.cpu.get_cpu_capability()}",
        "precision": str(kind).removeprefix("torch."),
        "deterministic_algorithms": torch.are_deterministic_algorithms_enabled(),
        "threads": torch.get_num_threads(),
        **({"cuda": torch.version.cuda, WORKSPACE: os.environ[WORKSPACE]} if gpu else {}),
    }


def _known(column: pd.Series, embed: bool) -> list[Any] | None:
    if embed or not pd.api.types.is_numeric_dtype(column):
        return sorted(column.dropna().unique().tolist())
    return None


def _scale(numbers: np.ndarray) -> tuple[torch.Tensor, torch.Tensor]:
    """Return each number's mean and standard deviation among those that are there; 0 and 1 where that says nothing."""
    there = np.isfinite(numbers)
    count = np.maximum(there.sum(axis=0), 1)
    known = np.where(there, numbers, 0).astype("float64")
    mean = known.sum(axis=0) / count
    spread = np.sqrt((np.where(there, known - mean, 0) ** 2).sum(axis=0) / count)
    return tuple(torch.tensor(values, dtype=torch.float32) for values in (mean, np.where(spread > 0, spread, 1)))
