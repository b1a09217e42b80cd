"""Great Expectations keeps what every validator keeps."""

from __future__ import annotations

from typing import Any

import great_expectations.expectations as gxe
import pandas as pd
import pytest

from airflow_mlops_provider.testing import ValidatorContract


class TestGreatExpectations(ValidatorContract):
    """Its own expectation objects."""

    validator = "great_expectations"

    @pytest.fixture
    def table(self) -> pd.DataFrame:
        """Three sales, one in a shop whose name is markup."""
        return pd.DataFrame({"shop": ["north", "<b>south</b>", "north"], "amount": [1.0, 2.5, 900.0]})

    @pytest.fixture
    def kept(self) -> list[Any]:
        """What holds."""
        return [gxe.ExpectColumnValuesToNotBeNull(column="shop"), gxe.ExpectColumnToExist(column="amount")]

    @pytest.fixture
    def broken(self) -> list[Any]:
        """What does not."""
        return [
            gxe.ExpectColumnValuesToBeBetween(column="amount", max_value=100),
            gxe.ExpectColumnValuesToBeInSet(column="shop", value_set=["north"]),
        ]
