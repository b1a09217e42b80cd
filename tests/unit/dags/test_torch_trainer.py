"""The trainer in PyTorch: the same twice, the same when it was interrupted, and what it says of itself."""

from __future__ import annotations

import pickle
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score

from airflow_mlops_provider.exceptions import UnknownNameError
from tests.factories.torch import SETTINGS, Kept, rows

torch = pytest.importorskip("torch", reason="pip install 'airflow-mlops-provider[torch]'")

from flight_delay.torch_trainer import DEFAULTS, STATE, train  # noqa: E402  # only with PyTorch


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    threads, strict = torch.get_num_threads(), torch.are_deterministic_algorithms_enabled()
    yield
    torch.set_num_threads(threads)
    torch.use_deterministic_algorithms(strict)


def weights(settings: dict[str, Any], checkpoints: Kept | None = None, seed: int = 1) -> tuple[dict[str, Any], Any]:
    """Train, and return the weights as arrays, and the network."""
    network = train(*rows(), {**SETTINGS, **settings}, seed, checkpoints)
    return {name: value.numpy() for name, value in network.state_dict().items()}, network


def same(one: dict[str, Any], two: dict[str, Any]) -> bool:
    """Say whether all weights are the same to the bit."""
    return one.keys() == two.keys() and all(np.array_equal(one[name], two[name]) for name in one)


def test_it_learns() -> None:
    """On rows that it never saw the network ranks well, with gaps and unknown categories among them."""
    _, network = weights({"epochs": 20, "learning_rate": 0.02})
    features, label = rows(400, seed=6)
    features["carrier"] = features["carrier"].cat.codes.map({0: "AA", 1: "ZZ", 2: "UA"})
    numbers, codes = network.encode(features)
    assert 0 in codes[:, 0]
    with torch.no_grad():
        assert roc_auc_score(label, network(numbers, codes)) > 0.85


def test_the_same_twice() -> None:
    """Seed and rows settle every bit of the weights, whatever was drawn before; another seed gives others."""
    first, network = weights({})
    torch.rand(7)
    assert same(first, weights({})[0])
    assert not same(first, weights({}, seed=2)[0])
    assert network.facts["deterministic_algorithms"] is True
    assert network.facts["threads"] == 1
    assert network.facts["settings"] == {**DEFAULTS, **SETTINGS}
    assert network.facts["device"] == ("cuda" if torch.cuda.is_available() else "cpu")
    assert network.facts["devices"] == [network.facts["device_name"]] != [""]


@pytest.mark.parametrize("precision", ["float32", "bf16", "fp16"])
@pytest.mark.parametrize("until", [1, 5])
def test_interrupted_it_ends_the_same(tmp_path: Path, precision: str, until: int) -> None:
    """Ended after some epoch and taken up by another try, at every precision, the weights are those of one go."""
    settings = {"precision": precision}
    whole, _ = weights(settings)
    with pytest.raises(KeyboardInterrupt):
        weights(settings, Kept(tmp_path, until))
    torch.rand(7)
    resumed, network = weights(settings, Kept(tmp_path))
    assert same(whole, resumed)
    assert network.facts["resumed_after_epoch"] == until
    assert network.metrics["epochs"] == SETTINGS["epochs"]
    assert network.facts["precision"] == {"bf16": "bfloat16", "fp16": "float16"}.get(precision, precision)


def test_precision_makes_a_difference() -> None:
    """Reduced precision really computes otherwise."""
    results = [weights({"precision": precision})[0] for precision in ("float32", "bf16", "fp16")]
    assert not same(results[0], results[1])
    assert not same(results[0], results[2])


def test_it_stops_early_and_keeps_the_best(tmp_path: Path) -> None:
    """When it predicts the holdout worse for some epochs it stops, with the best epoch's weights."""
    _, network = weights({"epochs": 200, "patience": 3, "learning_rate": 0.2}, Kept(tmp_path))
    best = network.metrics["best_epoch"]
    assert network.metrics["epochs"] == best + 3 < 200
    kept = torch.load(tmp_path / f"{best:04d}" / STATE, map_location="cpu", weights_only=True)
    assert all(torch.equal(kept["network"][name], value) for name, value in network.state_dict().items())


def test_it_reports_each_epoch() -> None:
    """Whoever asks is told each epoch's AUC on rows that nothing is learnt from; it changes no bit, and may end it."""
    whole, _ = weights({})
    told: list[tuple[int, float]] = []

    def report(epoch: int, auc: float) -> None:
        told.append((epoch, auc))
        if len(told) > SETTINGS["epochs"] + 2:
            raise StopIteration

    validation = rows(300, seed=6)
    network = train(*rows(), SETTINGS, 1, validation=validation, report=report)
    assert same(whole, {name: value.numpy() for name, value in network.state_dict().items()})
    assert [epoch for epoch, _ in told] == list(range(1, SETTINGS["epochs"] + 1))
    assert all(0.5 < auc < 1 for _, auc in told[-3:])
    with pytest.raises(StopIteration):
        train(*rows(), SETTINGS, 1, validation=validation, report=report)
    assert len(told) == SETTINGS["epochs"] + 3


def test_it_knows_nothing_of_the_holdout() -> None:
    """Categories, means and spreads come from the rows that are learnt from, not from those that say when to stop."""
    features, label = rows()
    last = int(len(features) * (1 - DEFAULTS["holdout"]))
    features["carrier"] = features["carrier"].astype(object)
    features.loc[last:, "carrier"] = "only later"
    features.loc[last:, "distance"] = 1e9
    network = train(features, label, {**SETTINGS, "epochs": 1}, 1)
    assert network.inputs["carrier"] == ["AA", "B6", "UA"]
    assert network.inputs["wind"] is None
    assert len(network.inputs["hour"]) == 24
    assert network.centre[-1] == pytest.approx(900, abs=50)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"epoch": 3}, "unknown setting 'epoch'; known: batch, device, .*epochs"),
        ({"device": "abacus"}, "unknown device 'abacus'; known: auto, cpu"),
        ({"precision": "int1"}, "unknown precision 'int1'; known: auto, bf16, float32, fp16"),
    ],
)
def test_unknown_settings_are_named(settings: dict[str, Any], message: str) -> None:
    """A setting, device or precision that there is not is refused, with those that there are."""
    with pytest.raises(UnknownNameError, match=message):
        weights(settings)


def test_a_loss_that_is_no_number_is_told() -> None:
    """A training that diverged from the start leaves no model."""
    with pytest.raises(ValueError, match="take a lower learning_rate"):
        weights({"learning_rate": 1e20, "epochs": 2})


class _Dangerous:
    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (Path("was_run"),)


def test_a_checkpoint_runs_no_code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A checkpoint that somebody else put there is read as numbers only: no code in it is run."""
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "kept" / "0001"
    folder.mkdir(parents=True)
    torch.save({"network": _Dangerous()}, folder / STATE)
    with pytest.raises(pickle.UnpicklingError):
        weights({}, Kept(tmp_path / "kept"))
    assert not (tmp_path / "was_run").exists()


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_gpu_is_used_and_repeats_itself(tmp_path: Path) -> None:
    """With a GPU, training runs there in reduced precision, gives the same twice, and the same when interrupted."""
    first, network = weights({})
    assert network.facts["device"] == "cuda"
    assert network.facts["precision"] in {"bfloat16", "float16"}
    assert same(first, weights({})[0])
    with pytest.raises(KeyboardInterrupt):
        weights({}, Kept(tmp_path, 3))
    assert same(first, weights({}, Kept(tmp_path))[0])
