"""The deliveries of two short products: public sets that come with a library, cut into data intervals."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct


def people() -> pd.DataFrame:
    """Return the persons of the RAND health insurance experiment, who have no dates: they enrol by hundreds in turn."""
    from statsmodels.datasets import randhie

    given = randhie.load_pandas().data
    names = ("visits", "coinsurance", "individual_deductible", "payment_limit", "maximum", "limitation", "diseases")
    given.columns = [*names, "good", "fair", "poor"]
    month = np.arange(len(given)) // 100 % 6  # the years of one person lie together
    return given.assign(enrolled=pd.to_datetime([f"1974-{number + 1:02}-01T00:00:00Z" for number in month]))


def weeks() -> pd.DataFrame:
    """Return weekly carbon dioxide over Mauna Loa; some weeks have no value."""
    from statsmodels.datasets import co2

    given = co2.load_pandas().data["co2"]
    return pd.DataFrame({"week": given.index.tz_localize("UTC"), "ppm": given.array})


SETS: dict[str, Callable[[], pd.DataFrame]] = {"doctor_visits": people, "visit_ranges": people, "carbon_dioxide": weeks}


def deliver(landing: Path, product: MLProduct, interval: Interval) -> None:
    """Write an interval's rows of a product's only source below the landing folder, whole or not at all."""
    (source,) = product.data.sources
    rows = SETS[product.name]()
    target = landing / source.delivery(interval)
    target.parent.mkdir(parents=True, exist_ok=True)
    partial = target.with_suffix(".partial")
    inside = (rows[source.time] >= interval.start) & (rows[source.time] < interval.end)
    rows.loc[inside, [*source.columns]].to_csv(partial, index=False)
    partial.replace(target)
