"""A job's parameters may ask for another trainer, or other settings: what is asked for is what counts."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.runtime.address import address, code_hashes
from airflow_mlops_provider.runtime.definition import find_job
from tests.factories.tiny import TinyWorld


@pytest.fixture
def world(tmp_path: Path) -> Iterator[TinyWorld]:
    """A product with a second trainer that its declaration does not name, and a helper of that."""
    one = TinyWorld(tmp_path)
    one.write("helper.py", "DEPTH = 1\n")
    one.write("other.py", "from PACKAGE.helper import DEPTH\n\ndef train(features, label, settings, seed):\n    pass\n")
    yield one
    one.close()


def other(world: TinyWorld, **fields: Any) -> dict[str, Any]:
    """Return parameters that ask for the second trainer."""
    return {"trainer": {"code": f"{world.name}.other:train", "flavor": "torch", "requires": ["moto"], **fields}}


def where(world: TinyWorld, params: dict[str, Any]) -> str:
    """Return the address of a training."""
    return address(world.spec("train", params=params))


def trainer_of(spec: JobSpec) -> Trainer:
    """Return the trainer that a job is to use."""
    (trainer,) = find_job(spec.job).trainers(spec)
    return trainer


def test_a_job_sees_the_trainer_that_is_asked_for(world: TinyWorld) -> None:
    """A whole trainer takes the declared one's place; single settings are laid over either."""
    declared = trainer_of(world.spec("train"))
    assert declared == world.product.training.trainer
    settings = {"settings": {"epochs": 3}}
    assert trainer_of(world.spec("train", params=settings)).settings == {"epochs": 3}
    asked = trainer_of(world.spec("train", params=other(world, settings={"width": 8}) | settings))
    assert (asked.code, asked.flavor, asked.seed) == (f"{world.name}.other:train", "torch", 13)
    assert asked.settings == {"width": 8, "epochs": 3}


@pytest.mark.parametrize(
    ("settings", "named"),
    [
        ({"rate": float("nan")}, "'rate' is nan"),
        ({"rate": float("-inf")}, "'rate' is -inf"),
        (["rate"], r"'settings' is \['rate'\]; give a dict"),
        ("rate=1", "'settings' is 'rate=1'; give a dict"),
    ],
)
def test_settings_that_are_none_are_refused(world: TinyWorld, settings: Any, named: str) -> None:
    """Settings asked for are held to what declared ones are, when the job starts or before."""
    with pytest.raises((ConfigurationError, ValidationError), match=f"(?s){named}"):
        where(world, {"settings": settings})


def test_its_code_counts(world: TinyWorld) -> None:
    """An edit to the trainer that the parameters name, or to what it imports, is another address; the declared one's
    code does not count then.
    """
    spec = world.spec("train", params=other(world))
    hashes = code_hashes(spec, find_job("train"))
    assert {f"{world.name}.other", f"{world.name}.helper"} <= hashes.keys()
    assert f"{world.name}.trainer" not in hashes
    before, declared = where(world, other(world)), where(world, {})
    world.write("helper.py", "DEPTH = 2\n")
    after = where(world, other(world))
    assert after != before
    assert where(world, {}) == declared
    world.write("trainer.py", "# edited\n")
    assert where(world, other(world)) == after
    assert where(world, {}) != declared


def test_what_it_requires_counts(world: TinyWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another version of a distribution that only the asked trainer needs is another address."""
    before, declared, real = where(world, other(world)), where(world, {}), environment.all_versions
    monkeypatch.setattr(environment, "all_versions", lambda: {**real(), "moto": "99"})
    assert where(world, other(world)) != before
    assert where(world, {}) == declared


@pytest.mark.parametrize(
    ("fields", "named"),
    [
        ({"flavor": "pickle"}, "lightgbm.*torch"),
        ({"code": "no function"}, "code"),
        ({"speed": 1}, "speed"),
    ],
)
def test_what_is_no_trainer_is_refused(world: TinyWorld, fields: dict[str, Any], named: str) -> None:
    """A flavor that nobody knows, code that is none or a further field is a setting that a retry will not mend."""
    with pytest.raises(ConfigurationError, match=f"(?s)'trainer' describes no trainer.*{named}"):
        where(world, other(world, **fields))
