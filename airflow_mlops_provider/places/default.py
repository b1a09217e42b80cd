"""The place that configuration names, so that the same DAG file moves from a laptop to a cluster unedited."""

from __future__ import annotations

from collections.abc import Callable

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.places.base import Place
from airflow_mlops_provider.places.kubernetes.place import KubernetesPod
from airflow_mlops_provider.places.local_process import LocalProcess


def configured_pod() -> KubernetesPod:
    """Return the pod that ``[mlops] kubernetes_pod`` describes: a JSON object of a :class:`KubernetesPod`'s fields.

    :raises ConfigurationError: if it cannot work; the message names the field.
    """
    try:
        return KubernetesPod.model_validate_json(option("kubernetes_pod") or "{}")
    except ValidationError as error:
        raise ConfigurationError(f"[mlops] kubernetes_pod: {error}") from None


PLACES: dict[str, Callable[[], Place]] = {"local_process": LocalProcess, "kubernetes_pod": configured_pod}


def default_place() -> Place:
    """Return a new place of the kind that ``[mlops] default_place`` names.

    :raises UnknownNameError: if there is no such kind; the message lists the known ones.
    """
    name = option("default_place") or "local_process"
    if name not in PLACES:
        raise UnknownNameError("place in [mlops] default_place", name, PLACES)
    return PLACES[name]()


def default_orphan_place() -> Place:
    """Return the place whose orphans maintenance removes by default: where this Airflow's pods are made.

    That is as ``[mlops] kubernetes_pod`` says, else the connection that any pod uses; a local process leaves none.
    """
    return configured_pod() if option("kubernetes_pod") else KubernetesPod(image="none-is-run")
