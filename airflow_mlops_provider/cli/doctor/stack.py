"""``stack.toml``: looked for beside the DAGs, compared with what is installed and configured, and written at first."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from airflow.sdk import conf
from packaging.specifiers import InvalidSpecifier, SpecifierSet

from airflow_mlops_provider import discovery
from airflow_mlops_provider.backends.environment import versions
from airflow_mlops_provider.cli.doctor.code import ci_files
from airflow_mlops_provider.exceptions import ConfigurationError, MLOpsError
from airflow_mlops_provider.hooks.artifact_store import ArtifactStoreHook
from airflow_mlops_provider.hooks.defaults import option
from airflow_mlops_provider.hooks.feast import FeastHook
from airflow_mlops_provider.hooks.mlflow import MlflowHook
from airflow_mlops_provider.hooks.model_server import ModelServerHook
from airflow_mlops_provider.hooks.optuna import OptunaHook
from airflow_mlops_provider.hooks.prometheus import PrometheusHook
from airflow_mlops_provider.hooks.source import SourceHook
from airflow_mlops_provider.lifecycle.maturity.stack import FILE, NONE, Part, Stack, differences, parsed, unexplained
from airflow_mlops_provider.lifecycle.maturity.stack import written as text_of
from airflow_mlops_provider.lifecycle.maturity.verdict import Verdict, green, red, yellow
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.places.named import USUAL, described

OURS = "airflow-mlops-provider"
DATABASES = {"http": "server", "https": "server"}


def read(dags: Path | None) -> tuple[Path, Stack] | None:
    """Return the first stack that lies beside DAGs or products. :raises ConfigurationError: naming file and key."""
    files = [folder / FILE for folder in discovery.product_folders(dags)]
    file = next((file for file in files if file.is_file()), None)
    return (file, parsed(file.read_text("utf-8"), str(file))) if file else None


def write(dags: Path | None, products: Sequence[MLProduct]) -> Path:
    """Write what is there now, without reasons. :raises ConfigurationError: if a stack, or no DAG folder, is there."""
    folder = discovery.product_folders(dags)[0]
    file = folder / FILE
    if file.exists():
        raise ConfigurationError(f"{file} is there already, and its reasons with it; edit it")
    if not folder.is_dir():
        raise ConfigurationError(f"there is no DAG folder {folder} to put {FILE} into; name one with --dags")
    file.write_text(text_of(actual(products)), "utf-8")
    return file


def verdicts(stack: tuple[Path, Stack] | None, products: Sequence[MLProduct]) -> dict[str, Verdict]:
    """Return whether the decision is recorded, and whether it is what is there."""
    if stack is None:
        none = red(f"no {FILE} beside the DAGs", "airflow mlops doctor --write, in a folder of your own DAGs")
        return {"decision": none, "stack": none}
    file, declared = stack
    open_reasons, other = unexplained(declared), list(differences(declared, actual(products), fits))
    words = f"{file}: {len(declared)} parts"
    said = yellow(f"{words}; no why of {', '.join(open_reasons)}") if open_reasons else green(f"{words}, each with why")
    return {"decision": said, "stack": red("; ".join(other)) if other else green(f"{words} as declared")}


def fits(version: str, declared: str) -> bool:
    """Say whether a version is the one declared, or in the range."""
    try:
        return version in SpecifierSet(declared, prereleases=True)
    except InvalidSpecifier:
        return version == declared


def actual(products: Sequence[MLProduct]) -> Stack:
    """Return the stack that is installed and configured; where products differ, all that there are."""
    known = versions(["apache-airflow", "feast", "mlflow", "great-expectations", "evidently", "optuna", OURS])
    root = ArtifactStoreHook().settings()["root"].partition("://")[0]
    names = [product.name for product in products]
    place = {product.place_of(Stage.TRAINING) or option("default_place") or USUAL for product in products} or {USUAL}
    kinds = {described().get(name, {}).get("kind", name) for name in place}
    feast = _kind(FeastHook.of_product(name).settings()["type"] for name in names)
    server = _kind("connection" if ModelServerHook.of_product(name).defined else "started here" for name in names)
    return {
        "ci_cd": Part(vendor=_kind(ci_files(name)[0] for name in names)),
        "source_repository": Part(vendor="git", kind=_kind(map(_forge, names))),
        "orchestration": Part(
            vendor="apache-airflow", version=known["apache-airflow"], kind=conf.get("core", "executor")
        ),
        "offline_feature_store": Part(vendor="feast", version=known["feast"], kind="duckdb"),
        "online_feature_store": Part(vendor="feast", version=known["feast"], kind=feast),
        "training_infrastructure": Part(vendor=_kind(kinds)),
        "experiment_search": Part(
            vendor="optuna", version=known["optuna"], kind=_scheme(OptunaHook().settings()["url"])
        ),
        "model_registry": Part(
            vendor="mlflow",
            version=known["mlflow"],
            kind=_kind(_scheme(MlflowHook.of_product(name).settings()["uri"]) for name in names),
        ),
        "metadata_store": Part(vendor=OURS, version=known[OURS], kind="manifests"),
        "artifact_store": Part(vendor=root),
        "model_serving": Part(vendor=OURS, version=known[OURS], kind=server),
        "data_validation": _library([product.data.validator for product in products], known),
        "drift_detection": _library([product.monitoring.drift_method for product in products], known),
        "monitoring": Part(vendor="prometheus" if PrometheusHook().defined else OURS),
    }


def _library(names: Iterable[str], known: dict[str, str]) -> Part:
    vendor = _kind(name.replace("_", "-") for name in names)
    return Part(vendor=vendor, version=known.get(vendor, ""))


def _forge(product: str) -> str:
    hook = SourceHook.of_product(product)
    try:
        return str(hook.repository(product).forge) if hook.defined else "own repository"
    except MLOpsError:
        return NONE


def _scheme(uri: str) -> str:
    scheme = uri.partition("://")[0].partition("+")[0]
    return DATABASES.get(scheme, scheme)


def _kind(names: Iterable[str]) -> str:
    return " and ".join(sorted(set(names))) or NONE
