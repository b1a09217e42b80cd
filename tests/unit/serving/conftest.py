"""The tiny shop."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.shape import Scoring
from tests.factories.serving import make_product


@pytest.fixture(scope="session")
def product(tmp_path_factory: pytest.TempPathFactory) -> MLProduct:
    return make_product(tmp_path_factory.mktemp("code"))


@pytest.fixture(scope="session")
def shape(product: MLProduct) -> Scoring:
    return product.scoring
