"""The second trainer: a small network in PyTorch, on a GPU if there is one; a plain function like the first.

Killed, it goes on from its last checkpoint and ends with the same weights: what an epoch does follows from the seed,
the data and the state that the epoch before has left, all of which a checkpoint holds.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from airflow_mlops_provider.exceptions import UnknownNameError

if TYPE_CHECKING:
    import pandas as pd
    import torch

    from flight_delay.torch_network import Network

log = logging.getLogger(__name__)
STATE = "state.pt"
DEFAULTS: dict[str, Any] = {
    "epochs": 40,
    "patience": 5,
    "holdout": 0.15,
    "batch": 256,
    "learning_rate": 0.001,
    "weight_decay": 0.3,
    "hidden": [64, 32],
    "dropout": 0.4,
    "embedding": 3,
    "embed": ["weekday"],
    "device": "auto",
    "precision": "auto",
    "threads": 1,  # two that wait for each other on a busy machine were 20 times slower
}


class Checkpoints(Protocol):
    """What keeps how far a training has come."""

    def latest(self) -> tuple[int, Path] | None:
        """Return the last epoch kept and the folder with its files."""

    def save(self, epoch: int, write: Callable[[Path], object]) -> None:
        """Keep the files that a function writes into a folder."""


def train(
    features: pd.DataFrame,
    label: pd.Series,
    settings: dict[str, Any],
    seed: int,
    checkpoints: Checkpoints | None = None,
    validation: tuple[pd.DataFrame, pd.Series] | None = None,
    report: Callable[[int, float], None] | None = None,
) -> Network:
    """Return a network that gives the probability of a late arrival.

    Its ``facts`` say on which device it was trained and how, with all settings; its ``metrics``, how far and how fast.

    :param features: the assembled inputs, one row an example, oldest first: the last ones say when to stop.
    :param label: 1 for late, 0 for not, in the same order.
    :param settings: any of ``DEFAULTS``. ``embed`` names numbers treated as categories; ``holdout`` is the share
        of rows kept for early stopping; ``precision`` is float32, bf16, fp16, or auto: reduced on a GPU only.
    :param seed: settles every random choice.
    :param checkpoints: keeps how far this training has come; without it, a killed one begins anew.
    :param validation: inputs and labels of later rows, from which nothing is learnt.
    :param report: is told each epoch and its AUC on those rows; it may raise, to end a training that leads nowhere.
    :raises UnknownNameError: for a setting, device or precision that there is not.
    """
    unknown = sorted(set(settings) - set(DEFAULTS))
    if unknown:
        raise UnknownNameError("setting", unknown[0], DEFAULTS)
    training = _Training(features, label, {**DEFAULTS, **settings}, seed)
    began, first = time.monotonic(), training.resume(checkpoints)
    while training.goes_on:
        training.one_epoch()
        if checkpoints is not None:
            checkpoints.save(training.epoch, training.write)
        if report is not None and validation is not None:
            report(training.epoch, training.network.auc(*validation))
    return training.finished(first, time.monotonic() - began)


class _Training:
    """A training between two epochs."""

    def __init__(self, features: pd.DataFrame, label: pd.Series, settings: dict[str, Any], seed: int) -> None:
        import torch

        from flight_delay import torch_network as network

        self.settings, self.seed, self.epoch = settings, seed, 0
        self.device = network.device(settings["device"])
        self.precision = network.precision(settings["precision"], self.device)
        self.facts = network.deterministic(seed, settings["threads"], self.device, self.precision)
        rows = len(features)
        self.rows = rows - int(rows * settings["holdout"])
        self.network = network.Network(features[: self.rows], settings).to(self.device)
        self.numbers, self.codes = (part.to(self.device) for part in self.network.encode(features))
        self.label = torch.tensor(label.to_numpy(), dtype=torch.float32, device=self.device)
        self.optimizer = torch.optim.AdamW(
            self.network.parameters(), lr=settings["learning_rate"], weight_decay=settings["weight_decay"]
        )
        self.scaler = torch.amp.GradScaler(self.device.type, enabled=self.precision is torch.float16)
        self.best: dict[str, Any] = {"epoch": 0, "loss": float("inf"), "network": {}}
        self.devices = [self.facts["device_name"]]

    @property
    def goes_on(self) -> bool:
        """Whether there is another epoch to do."""
        return self.epoch < self.settings["epochs"] and self.epoch - self.best["epoch"] < self.settings["patience"]

    def one_epoch(self) -> None:
        """Learn from every row once, in a new order, and look how well it predicts the holdout."""
        import torch

        began = time.monotonic()
        self.network.train()
        order = torch.randperm(self.rows).to(self.device)  # drawn on the CPU: the same on every device
        losses = [self._step(rows) for rows in order.split(self.settings["batch"])]
        self.epoch += 1
        loss = self._holdout_loss()
        if loss < self.best["loss"]:
            weights = {name: value.detach().clone() for name, value in self.network.state_dict().items()}
            self.best = {"epoch": self.epoch, "loss": loss, "network": weights}
        log.info(
            "epoch %d of %d on %s: log loss %.4f, on the holdout %.4f, best in epoch %d; %.2f s",
            self.epoch, self.settings["epochs"], self.device, torch.stack(losses).mean().item(), loss,
            self.best["epoch"], time.monotonic() - began,
        )  # fmt: skip

    def _step(self, rows: torch.Tensor) -> torch.Tensor:
        import torch

        self.optimizer.zero_grad()
        with torch.autocast(self.device.type, self.precision, enabled=self.precision is not torch.float32):
            logits = self.network.logits(self.numbers[rows], self.codes[rows])
        loss = torch.nn.functional.binary_cross_entropy_with_logits(logits.float(), self.label[rows])
        self.scaler.scale(loss).backward()
        self.scaler.step(self.optimizer)
        self.scaler.update()
        return loss.detach()

    def _holdout_loss(self) -> float:
        import torch

        holdout = slice(self.rows if self.rows < len(self.label) else 0, None)
        self.network.eval()
        with torch.no_grad():
            logits = self.network.logits(self.numbers[holdout], self.codes[holdout])
            return float(torch.nn.functional.binary_cross_entropy_with_logits(logits, self.label[holdout]))

    def write(self, folder: Path) -> None:
        """Write everything that the next epoch depends on."""
        import torch

        cuda = torch.cuda.get_rng_state_all() if self.device.type == "cuda" else []
        state = {
            "epoch": self.epoch,
            "network": self.network.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.scaler.state_dict(),
            "random": {"cpu": torch.get_rng_state(), "cuda": cuda},
            "best": self.best,
            "devices": self.devices,
        }
        torch.save(state, folder / STATE)

    def resume(self, checkpoints: Checkpoints | None) -> int:
        """Take up where the last try was ended, and return after which epoch that was; 0 for a new beginning."""
        import torch

        found = checkpoints.latest() if checkpoints is not None else None
        if found is None:
            log.info("training %d rows on %s", self.rows, self.facts["device_name"])
            return 0
        state = torch.load(found[1] / STATE, map_location="cpu", weights_only=True)
        self.epoch, self.best = state["epoch"], state["best"]
        self.devices = sorted({*state["devices"], *self.devices})
        self.network.load_state_dict(state["network"])
        self.optimizer.load_state_dict(state["optimizer"])
        self.scaler.load_state_dict(state["scaler"])
        torch.set_rng_state(state["random"]["cpu"])
        if self.device.type == "cuda":
            torch.cuda.set_rng_state_all(state["random"]["cuda"])
        log.info("going on after epoch %d, from its checkpoint, on %s", self.epoch, self.facts["device_name"])
        return self.epoch

    def finished(self, first: int, seconds: float) -> Network:
        """Return the best epoch's network, with what there is to tell of its training.

        :raises ValueError: if no epoch's loss was a number.
        """
        network = self.network
        if not self.best["network"]:
            raise ValueError(f"no epoch of {self.epoch} gave a loss that is a number; take a lower learning_rate")
        network.load_state_dict(self.best["network"])
        record = {"settings": self.settings, "devices": self.devices, "resumed_after_epoch": first}
        network.facts = {**self.facts, **record}
        network.metrics = {
            "epochs": self.epoch,
            "best_epoch": self.best["epoch"],
            "holdout_log_loss": self.best["loss"],
            "epoch_seconds": seconds / max(1, self.epoch - first),
        }
        best = (self.best["epoch"], self.best["loss"])
        log.info("the best of %d epochs was %d, log loss on the holdout %.4f", self.epoch, *best)
        return network.cpu().eval()
