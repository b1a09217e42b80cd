"""Which modules of the package are public."""

from __future__ import annotations

import airflow_mlops_provider as api
from airflow_mlops_provider.get_provider_info import get_provider_info

#: In these rooms, the modules that Airflow is told of; beside them, these files.
ROOMS = ("operators", "sensors", "hooks", "triggers")
FILES = (
    *("assets", "exceptions", "extensions", "pipelines", "pipelines.base", "places.base", "places.named"),
    # What parts of one's own are made of, and tested with.
    *(
        "backends.drift.base",
        "backends.models.base",
        "backends.models.inputs",
        "backends.source.ci.base",
        "backends.source.ci.gitlab",
        "backends.source.forges.base",
    ),
    *("backends.model_server.base", "backends.model_server.releases", "backends.model_server.state"),
    "backends.streams.base",
    *("backends.validation.base", "problems.base", "lifecycle.problem", "storage.stores.base"),
    *("lifecycle.records.spec", "runtime.runner", "storage.artifacts", "testing"),
)


def public_modules() -> set[str]:
    """Return the modules whose names are public."""
    info = get_provider_info()
    listed = {module for room in ROOMS for entry in info[room] for module in entry["python-modules"]}
    return {api.__name__, *listed, *(f"{api.__name__}.{file}" for file in FILES)}
