"""Which place a product names for the jobs of a stage, and that it decides nothing of what they make."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.stages import Stage
from flight_delay.product import product
from tests.factories.declared import changed

SECTIONS = ("data", "evaluation", "features", "monitoring", "search", "serving", "training")
PLACED = changed(product, {f"{section}.place": f"at_{section}" for section in SECTIONS})


def test_a_section_places_the_jobs_of_its_stage() -> None:
    """A stage's jobs go by the section of its name; two are called otherwise, and four have none."""
    assert {stage: PLACED.place_of(stage) for stage in Stage} == {
        Stage.INITIATION: None,
        Stage.FEATURES: "at_features",
        Stage.VALIDATION: "at_data",
        Stage.EXPERIMENTATION: "at_search",
        Stage.TRAINING: "at_training",
        Stage.EVALUATION: "at_evaluation",
        Stage.REGISTRY: None,
        Stage.DEPLOYMENT: None,
        Stage.SERVING: "at_serving",
        Stage.MONITORING: "at_monitoring",
        Stage.FEEDBACK: None,
    }
    assert {product.place_of(stage) for stage in Stage} == {None}


def test_a_product_is_the_same_without_its_places() -> None:
    """Places survive JSON, and without them nothing tells the products apart."""
    assert MLProduct.model_validate_json(PLACED.model_dump_json()) == PLACED
    assert PLACED.places == {section: f"at_{section}" for section in SECTIONS}
    assert product != PLACED
    assert PLACED.unplaced() == product


def test_a_place_has_a_name() -> None:
    """An empty name is refused where it is declared, by its section."""
    with pytest.raises(ValidationError, match=r"training\.place\n.*at least 1 character"):
        changed(product, {"training.place": ""})
