"""The place that configuration names, so that the same DAG file moves from a laptop to a cluster unedited."""

from __future__ import annotations

from collections.abc import Callable

from airflow.sdk import conf
from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.places.base import Place
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.local_process import LocalProcess


def configured_pod() -> KubernetesPod:
    """Return the pod that ``[mlops] kubernetes_pod`` describes: a JSON object of a :class:`KubernetesPod`'s fields.

    :raises ConfigurationError: if it cannot work; the message names the field.
    """
    given = conf.get("mlops", "kubernetes_pod", fallback="") or "{}"
    try:
        return KubernetesPod.model_validate_json(given)
    except ValidationError as error:
        raise ConfigurationError(f"[mlops] kubernetes_pod: {error}") from None


PLACES: dict[str, Callable[[], Place]] = {"local_process": LocalProcess, "kubernetes_pod": configured_pod}


def default_place() -> Place:
    """Return a new place of the kind that ``[mlops] default_place`` names.

    :raises UnknownNameError: if there is no such kind; the message lists the known ones.
    """
    name = conf.get("mlops", "default_place", fallback="local_process")
    if name not in PLACES:
        raise UnknownNameError("place in [mlops] default_place", name, PLACES)
    return PLACES[name]()
