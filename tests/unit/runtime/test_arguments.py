"""What a job takes of a product: by value, and without a word on where it runs."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.sections import Training
from airflow_mlops_provider.runtime.arguments import JobSettings
from airflow_mlops_provider.runtime.definition import all_jobs
from flight_delay.product import product
from tests.factories.declared import changed

SECTIONS = ("data", "evaluation", "features", "monitoring", "search", "serving", "training")
PLACED = changed(product, {f"{section}.place": "gpu" for section in SECTIONS})


class Whole(JobSettings):
    """A job of somebody's that takes a whole section."""

    training: Training


def test_a_place_is_no_setting_of_a_job() -> None:
    """Each job's part of a specification, and so its address, is the same at every place; a whole section's, too."""
    for job in filter(lambda job: job.settings.declared, all_jobs().values()):
        assert job.parts_of(PLACED, {}) == job.parts_of(product, {})
    assert Whole.of(PLACED).to_json() == Whole.of(product).to_json()
    assert Whole.of(PLACED).training.windows == product.training.windows
