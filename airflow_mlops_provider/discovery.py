"""Which products a command reaches: those of the Airflow at hand, and where that was looked for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

from airflow.sdk import conf

from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.runtime.code import load_product
from airflow_mlops_provider.storage.artifacts import BucketStore, FolderStore
from airflow_mlops_provider.storage.declarations import declared
from airflow_mlops_provider.storage.records import Records

LOCAL_BUNDLE = "LocalDagBundle"


def reference_dags() -> Path:
    """Return the folder of the reference DAGs: in a checkout ``dags``, in an installed wheel inside the package."""
    import airflow_mlops_provider

    package = Path(airflow_mlops_provider.__file__).parent
    inside = package / "reference_dags"
    return (inside if inside.is_dir() else package.parent / "dags").resolve()


def bundle(named: Path | None) -> Path:
    """Return the folder of DAG files that was named, or the reference bundle, and put its products in reach.

    :raises ConfigurationError: if the one named is not there.
    """
    if named and not named.is_dir():
        raise ConfigurationError(f"there is no folder {named} of DAG files; name one with --dags")
    chosen = named.resolve() if named else reference_dags()
    _reach([chosen])
    return chosen


def folders(named: Path | None = None) -> list[Path]:
    """Return where products may lie: in the folder named or else in those of the Airflow at hand, and further ones.

    Where the Airflow at hand has none, that is the reference bundle.
    """
    own = [bundle(named)] if named else list(dict.fromkeys(_dag_folders()))
    own += further()
    if not named and not any(_packages(own)):
        own.append(reference_dags())
    return own


def further() -> list[Path]:
    """Return the folders that ``[mlops] products_folders`` names."""
    named = (defaults.option("products_folders") or "").split(",")
    return [Path(folder.strip()).absolute() for folder in named if folder.strip()]


def products(named: Path | None, broken: list[str]) -> list[MLProduct]:
    """Return the products in reach, by name.

    :param broken: takes a line for each that can't be used: it takes no other away.
    """
    places, found = folders(named), []
    _reach(places)
    for file in sorted({file.parent.name: file for place in reversed(places) for file in _files(place)}.values()):
        try:
            found.append(load_product(file.parent.name))
        except (Exception, SystemExit) as error:  # noqa: BLE001  # it is the user's code
            broken.append(f"{file} can't be used: {type(error).__name__}: {error}")
    return found


def put_in_reach(named: Path | None = None) -> None:
    """Make the code of all products importable."""
    _reach(folders(named))


def names(store: FolderStore | BucketStore) -> set[str]:
    """Return the products that there are: those in reach, and those that have run a job."""
    return {*_packages(folders()), *Records(store).declared()}


def known(store: FolderStore | BucketStore, name: str) -> MLProduct:
    """Return a product as its code declares it or else as its last job did.

    :raises UnknownNameError: if there is none of that name; the message lists those there are.
    """
    there = names(store)
    if name not in there:
        raise UnknownNameError("product", name, there)
    put_in_reach()
    found = next((one for one in declared(store) if one.name == name), None)
    return found or load_product(name)


def looked(root: str, named: Path | None = None) -> str:
    """Return where products and records were looked for, and how to have it elsewhere.

    :param root: the artifact root.
    """
    return (
        f"Looked for records in {root} and for products in {', '.join(map(str, folders(named)))}: set AIRFLOW_HOME to "
        "the home of the Airflow that made them, or AIRFLOW__MLOPS__ARTIFACT_ROOT and AIRFLOW__MLOPS__PRODUCTS_FOLDERS"
    )


def first_steps(product: MLProduct, landing: str) -> str:
    """Return what brings a product its first model version."""
    wanted = product.training.windows.train + product.training.windows.evaluate
    return (
        f"a first training takes {wanted} data intervals. Deliver the files of each below {landing}, first "
        f"{', '.join(deliveries(product))}; where Airflow runs (`airflow mlops up` starts one) and the product's DAGs "
        "are switched on, the rest happens by itself"
    )


def deliveries(product: MLProduct) -> list[str]:
    """Return the files of the product's first data interval, as its sources name them."""
    first = intervals(product, 1)[0]
    return [source.delivery(first) for source in product.data.sources]


def intervals(product: MLProduct, count: int) -> list[Interval]:
    """Return the product's first data intervals, as its schedule cuts them."""
    from croniter import croniter

    edges = croniter(product.schedule.cron, product.schedule.start)
    starts = [product.schedule.start, *(edges.get_next(type(product.schedule.start)) for _ in range(count))]
    return [Interval(start=start, end=end) for start, end in pairwise(starts)]


def _dag_folders() -> Iterator[Path]:
    """Yield the folders from which the Airflow at hand takes its DAGs."""
    bundles: Any = conf.getjson("dag_processor", "dag_bundle_config_list", fallback=None)
    for one in bundles or [{}]:
        if str(one.get("classpath", LOCAL_BUNDLE)).endswith(LOCAL_BUNDLE):
            path = (one.get("kwargs") or {}).get("path") or conf.get("core", "dags_folder")
            yield Path(path).expanduser().absolute()


def _packages(places: Iterable[Path]) -> Iterator[str]:
    return (file.parent.name for place in places for file in _files(place))


def _files(place: Path) -> list[Path]:
    return sorted(place.glob("*/product.py"))


def _reach(places: Iterable[Path]) -> None:
    sys.path += [place for place in map(str, places) if place not in sys.path]
