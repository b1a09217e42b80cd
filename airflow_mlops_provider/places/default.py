"""The place that configuration names, so that the same DAG file moves from a laptop to a cluster unedited."""

from __future__ import annotations

from airflow.sdk import conf

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.places.base import Place
from airflow_mlops_provider.places.local_process import LocalProcess

PLACES = {"local_process": LocalProcess}


def default_place() -> Place:
    """Return a new place of the kind that ``[mlops] default_place`` names.

    :raises UnknownNameError: if there is no such kind; the message lists the known ones.
    """
    name = conf.get("mlops", "default_place", fallback="local_process")
    if name not in PLACES:
        raise UnknownNameError("place in [mlops] default_place", name, PLACES)
    return PLACES[name]()
