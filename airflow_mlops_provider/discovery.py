"""Which products there are: where they are looked for, which of them can be used, and what is wrong with the others."""

from __future__ import annotations

import ast
import traceback
from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

from airflow.sdk import conf

from airflow_mlops_provider.backends.modules import source_file
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.lifecycle.interval import Interval
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.places.named import check
from airflow_mlops_provider.runtime.code import (
    is_importable,
    load_product,
    make_importable,
    product_files,
)

if TYPE_CHECKING:
    from airflow_mlops_provider.storage.artifacts import ArtifactStore

LOCAL_BUNDLE = "LocalDagBundle"


def products(folders: Iterable[Path], errors: list[str]) -> list[MLProduct]:
    """Return the products below some folders that Airflow can run, by name: each a package with a ``product.py``.

    :param errors: takes a line for each other product, with file and line; it hides none of those returned.
    """
    files = product_files(folders)
    make_importable(dict.fromkeys(file.parents[1] for file in files))
    usable = []
    for file in sorted(set(map(Path.resolve, files)), key=lambda file: (file.parent.name, file)):
        try:
            product = _declared_in(file)
            _check_schedule(product, file)
            _check_places(product, file)
        except ConfigurationError as error:
            errors.append(str(error))
        else:
            usable.append(product)
    return usable


def _declared_in(file: Path) -> MLProduct:
    """Return the product that a ``product.py`` declares. :raises ConfigurationError: naming file and line."""
    name = file.parent.name
    if not is_importable(name):
        needs = "a product's folder needs a name that Python can import and no other package has"
        raise ConfigurationError(f"{file}:{_declaration(file)}: {needs}, not {name!r}")
    try:
        product = load_product(name)
    except (Exception, SystemExit) as error:  # noqa: BLE001 - it is the user's code: whatever it raises, others go on
        kind = "" if isinstance(error, ConfigurationError) else f"{type(error).__name__}: "
        raise ConfigurationError(f"{_line(error, file)}: {kind}{error}") from None
    loaded = source_file(f"{name}.product").resolve()
    if loaded != file:
        raise ConfigurationError(f"{file}:1: there is a product {name!r} in {loaded} already; rename one of them")
    return product


def _line(error: BaseException, file: Path) -> str:
    """Return where in a product an error comes from, as ``file:line``; where it declares itself if that is unknown."""
    places = [(frame.f_code.co_filename, number) for frame, number in traceback.walk_tb(error.__traceback__)]
    if isinstance(error, SyntaxError):
        places.append((error.filename or "", error.lineno or 1))
    within = [f"{name}:{number}" for name, number in places if Path(name).resolve().is_relative_to(file.parent)]
    return within[-1] if within else f"{file}:{_declaration(file)}"


def _declaration(file: Path) -> int:
    with suppress(SyntaxError, ValueError):
        for node in ast.parse(file.read_bytes()).body:
            if isinstance(node, ast.Assign | ast.AnnAssign) and ast.unparse(node).startswith("product"):
                return node.lineno
    return 1


def _check_schedule(product: MLProduct, file: Path) -> None:
    """Refuse a schedule that Airflow would refuse, and all other DAGs of the file with it."""
    from airflow.exceptions import AirflowTimetableInvalid
    from airflow.timetables.interval import CronDataIntervalTimetable

    try:
        CronDataIntervalTimetable(product.schedule.cron, timezone="UTC").validate()
    except AirflowTimetableInvalid as error:
        raise ConfigurationError(f"{file}: schedule.cron {product.schedule.cron!r}: {error}") from None


def _check_places(product: MLProduct, file: Path) -> None:
    """Refuse a place that no task would find."""
    for section, name in product.places.items():
        try:
            check(name)
        except (ConfigurationError, UnknownNameError) as error:
            raise ConfigurationError(f"{file}:{_declaration(file)}: {section}.place: {error}") from None


def reference_dags() -> Path:
    """Return the folder of the reference DAGs: in a checkout ``dags``, in an installed wheel inside the package."""
    package = Path(__file__).parent
    inside = package / "reference_dags"
    return (inside if inside.is_dir() else package.parent / "dags").resolve()


def dag_folder(named: Path | None) -> Path:
    """Return the folder named, or the reference bundle, importable. :raises ConfigurationError: if it is not there."""
    if named and not named.is_dir():
        raise ConfigurationError(f"there is no folder {named} of DAG files; name one with --dags")
    chosen = named.resolve() if named else reference_dags()
    make_importable([chosen])
    return chosen


def product_folders(named: Path | None = None) -> list[Path]:
    """Return where products may be: in the folder named, else in those of the configured Airflow, and further ones.

    Where the configured Airflow has no product, that is the reference bundle.
    """
    folders = [dag_folder(named)] if named else list(dict.fromkeys(_configured_dag_folders()))
    folders += further_folders()
    if not named and not product_files(folders):
        folders.append(reference_dags())
    return folders


def further_folders() -> list[Path]:
    """Return the folders that ``[mlops] products_folders`` names."""
    named = (defaults.option("products_folders") or "").split(",")
    return [Path(folder.strip()).absolute() for folder in named if folder.strip()]


def _configured_dag_folders() -> Iterator[Path]:
    bundles: Any = conf.getjson("dag_processor", "dag_bundle_config_list", fallback=None)
    for bundle in bundles or [{}]:
        if str(bundle.get("classpath", LOCAL_BUNDLE)).endswith(LOCAL_BUNDLE):
            path = (bundle.get("kwargs") or {}).get("path") or conf.get("core", "dags_folder")
            yield Path(path).expanduser().absolute()


def known_product(store: ArtifactStore, name: str) -> MLProduct:
    """Return a product as a job read it last, else as declared. :raises UnknownNameError: naming those there are."""
    from airflow_mlops_provider.storage.records import declared

    folders, names = product_folders(), known_names(store)
    if name not in names:
        raise UnknownNameError("product", name, names)
    make_importable(folders)
    return next((product for product in declared(store) if product.name == name), None) or load_product(name)


def known_names(store: ArtifactStore) -> set[str]:
    """Return the names of the products that have run a job, or are declared."""
    from airflow_mlops_provider.storage.records import Records

    return {*(file.parent.name for file in product_files(product_folders())), *Records(store).declared()}


def where_to_look(root: str, named: Path | None = None) -> str:
    """Return where products, and records below an artifact root, were looked for, and what to set to find others."""
    return (
        f"Looked for records in {root} and for products in {', '.join(map(str, product_folders(named)))}: set "
        "AIRFLOW_HOME to the home of the Airflow that made them, or AIRFLOW__MLOPS__ARTIFACT_ROOT and "
        "AIRFLOW__MLOPS__PRODUCTS_FOLDERS"
    )


def first_steps(product: MLProduct, landing: str) -> str:
    """Return what brings a product its first model version."""
    needed, (first,) = product.training.windows.train + product.training.windows.evaluate, intervals(product, 1)
    return (
        f"a first training takes {needed} data intervals. Deliver the files of each below {landing}, first "
        f"{', '.join(source.delivery(first) for source in product.data.sources if source.path)}; where Airflow runs "
        "(`airflow mlops up` starts one) and the product's DAGs are switched on, the rest happens by itself"
    )


def intervals(product: MLProduct, count: int) -> list[Interval]:
    """Return the product's first data intervals, as its schedule cuts them."""
    from croniter import croniter

    start = product.schedule.start or croniter(product.schedule.cron, datetime.now(UTC)).get_prev(datetime)
    edges = croniter(product.schedule.cron, start)
    starts = [start, *(edges.get_next(datetime) for _ in range(count))]
    return [Interval(start=start, end=end) for start, end in pairwise(starts)]
