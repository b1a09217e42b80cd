"""All that is looked at, each in its own thread and for a limited time."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from airflow_mlops_provider import discovery
from airflow_mlops_provider.backends.telemetry import disable_telemetry
from airflow_mlops_provider.cli.doctor import probes, stack
from airflow_mlops_provider.cli.doctor.airflow_state import AirflowState, airflow_state
from airflow_mlops_provider.cli.doctor.records import SECONDS, seen_of, together
from airflow_mlops_provider.exceptions import MLOpsError, UnknownNameError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.services import services
from airflow_mlops_provider.lifecycle.maturity.seen import NO_PRODUCT, ProductSeen, Seen, named
from airflow_mlops_provider.lifecycle.maturity.verdict import Verdict, guarded, red, worst
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.runtime.process.masks import Mask


def look(dags: Path | None, only: str | None) -> Seen:
    """Look at an installation.

    :param dags: where products are, in place of the configured folders.
    :param only: the product that is meant; None for all.
    :raises UnknownNameError: if there is no product of that name.
    """
    disable_telemetry()
    # What libraries remark goes to standard output, and would be in the midst of the JSON.
    logging.disable(logging.WARNING)
    warnings.showwarning = lambda *_, **__: None
    broken: list[str] = []
    every = discovery.products(discovery.product_folders(dags), broken)
    products = [product for product in every if only in (None, product.name)]
    if only and not products:
        raise UnknownNameError("product", only, [product.name for product in every])
    store, unread = ArtifactStoreHook().store(), list[str]()
    read = together({product.name: partial(seen_of, store, product, unread) for product in products})
    unread += [
        f"the records of {product.name} can't be read in time" for product in products if product.name not in read
    ]
    seen = Seen({}, [read.get(product.name, ProductSeen(product)) for product in products], broken)
    state = together({"airflow": _airflow}).get("airflow", red("Airflow's database does not answer", "look why"))
    installation = probes.Installation(store, state, unread)
    calls = {name: partial(_worst, seen, probe, installation) for name, probe in probes.PROBES.items()}
    calls |= {name: partial(guarded, probe) for name, probe in probes.ALONE.items()}
    late = {name: red(f"no answer within {SECONDS} s", "look whether it hangs") for name in calls}
    return Seen({**late, **together(calls), **_stack(dags, products)}, seen.products, broken)


def _worst(seen: Seen, probe: probes.Probe, installation: probes.Installation) -> Verdict:
    return worst((named(seen, product, lambda p: probe(p, installation)) for product in seen.products), NO_PRODUCT)


def _airflow() -> AirflowState | Verdict:
    try:
        return airflow_state()
    except MLOpsError as error:
        return red(str(error), "start Airflow, or name its home in AIRFLOW_HOME")


def _stack(dags: Path | None, products: Sequence[MLProduct]) -> dict[str, Verdict]:
    try:
        return stack.verdicts(stack.read(dags), products)
    except MLOpsError as error:
        return dict.fromkeys(("decision", "stack"), red(str(error), "correct it"))


def mask_of(seen: Seen) -> Mask:
    """Return what puts stars in place of the credentials of all connections."""
    secrets: dict[str, str] = {}
    for product in seen.products:
        try:
            secrets |= services(product.product.name, guarded=("source", "search", "signing", "cluster"))[2]
        except MLOpsError:  # a connection that can't work is named by its row
            continue
    return Mask(secrets)
