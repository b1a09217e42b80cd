"""What ``.ci/light`` runs in an environment that has Airflow and our wheel: the public API, and every reference DAG."""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.metadata import PackageNotFoundError, distribution, requires
from pathlib import Path

from packaging.requirements import Requirement

import airflow_mlops_provider as api
from airflow_mlops_provider.get_provider_info import get_provider_info

#: What the others ask for comes with Airflow and its neighbours as well.
EXTRAS = (
    *("catboost", "duckdb", "dynamodb", "lightgbm", "onnx", "openlineage", "postgres", "prophet", "redis", "search"),
    *("torch", "xgboost"),
)


def main() -> None:
    """End with what is wrong, or with a line that counts what is there."""
    if there := [name for name in of_extras() if is_there(name)]:
        sys.exit(f"extras came along: {', '.join(sorted(there))}")
    info = get_provider_info()
    rooms = ("operators", "sensors", "triggers", "hooks")
    modules = [module for room in rooms for entry in info[room] for module in entry["python-modules"]]
    for module in modules:
        import_module(module)
    names = [getattr(api, name) for name in api.__all__]

    from airflow.dag_processing.dagbag import DagBag

    bag = DagBag(str(Path(str(api.__file__)).parent / "reference_dags"))
    if bag.import_errors or not bag.dags:
        sys.exit(f"the reference DAGs are not parsed: {bag.import_errors or 'there are none'}")
    print(f"without any extra: {len(modules)} modules, {len(names)} names, {len(bag.dags)} DAGs")


def of_extras() -> set[str]:
    """Return the distributions that only extras ask for."""
    declared = [Requirement(line) for line in requires("airflow-mlops-provider") or ()]
    return {line.name for line in declared if any(f'extra == "{extra}"' in str(line.marker) for extra in EXTRAS)}


def is_there(name: str) -> bool:
    """Say whether a distribution is installed."""
    try:
        return bool(distribution(name))
    except PackageNotFoundError:
        return False


if __name__ == "__main__":
    main()
