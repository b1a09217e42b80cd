"""What is not installed: which distribution a missing module is of, and the line that installs it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError, requires
from importlib.util import find_spec

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from airflow_mlops_provider.backends import environment
from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.exceptions import MissingExtraError
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm
from airflow_mlops_provider.lifecycle.trainer import Trainer

OURS = "airflow-mlops-provider"
#: Modules whose distribution bears another name.
DISTRIBUTIONS = {
    "airflow.providers.cncf": "apache-airflow-providers-cncf-kubernetes",
    "airflow.providers.openlineage": "apache-airflow-providers-openlineage",
    "google.protobuf": "protobuf",
    "grpc": "grpcio",
    "ibis": "ibis-framework",
    "kubernetes": "apache-airflow-providers-cncf-kubernetes",
    "openlineage": "apache-airflow-providers-openlineage",
    "psycopg2": "psycopg2-binary",
    "sklearn": "scikit-learn",
    "xgboost": "xgboost-cpu",
}


def missing_extra(error: BaseException, declared: Iterable[str] = ()) -> MissingExtraError | None:
    """Return what an error comes to where a declared package is not installed; None for any other error.

    :param declared: packages that trainers declare, beside ours.
    """
    cause: BaseException | None = error
    while cause is not None and not (isinstance(cause, ModuleNotFoundError) and cause.name):
        cause = cause.__cause__
    if isinstance(error, MissingExtraError) or not isinstance(cause, ModuleNotFoundError) or _is_there(cause):
        return None
    name = _distribution(cause.name or "")
    line = install_line(name, declared)
    return MissingExtraError(f"{name} is not installed; run: {line}") if line else None


def install_line(name: str, also: Iterable[str] = ()) -> str | None:
    """Return the pip line that installs a distribution: our extra that brings it, else itself; None if undeclared.

    Of several extras it is the smallest, since one may be made of others.
    """
    wanted = canonicalize_name(name)
    if extras := _extras_with(name):
        return _line(extras)
    if declared := [requirement for requirement in _declared() if canonicalize_name(requirement.name) == wanted]:
        return f"pip install '{declared[0].name}{declared[0].specifier}'"
    return f"pip install {name}" if wanted in map(canonicalize_name, also) else None


def _extras_with(name: str) -> set[str]:
    wanted = canonicalize_name(name)
    return {_extra(one) for one in _declared() if canonicalize_name(one.name) == wanted} - {"", "dev"}


def _line(extras: Iterable[str]) -> str:
    sizes = Counter(map(_extra, _declared()))
    return f"pip install '{OURS}[{min(extras, key=lambda extra: (sizes[extra], extra))}]'"


def lacking(trainer: Trainer) -> str | None:
    """Return what a trainer and its flavor need that is not installed here, with the line for it; None if all is."""
    absent = [name for name, version in environment.versions(trainer.requires).items() if version == "absent"]
    absent += [name for name in models.missing(models.flavor_of(trainer.flavor).to_train) if name not in absent]
    if not absent:
        return None
    if extras := set.intersection(*map(_extras_with, absent)):
        lines = {_line(extras): None}
    else:
        lines = dict.fromkeys(filter(None, (install_line(name, absent) for name in absent)))
    return f"{', '.join(absent)} {'is' if len(absent) == 1 else 'are'} not installed; run: {'; '.join(lines)}"


def available(algorithms: Sequence[Algorithm]) -> tuple[list[Algorithm], dict[str, str]]:
    """Return the algorithms that can be tried here, and why others can't. :raises MissingExtraError: if none can."""
    left_out = {algorithm.name: why for algorithm in algorithms if (why := lacking(algorithm))}
    offered = [algorithm for algorithm in algorithms if algorithm.name not in left_out]
    if not offered:
        reasons = "; ".join(f"algorithm {name}: {why}" for name, why in left_out.items())
        raise MissingExtraError(f"no algorithm of this search can be tried here: {reasons}")
    return offered, left_out


def _is_there(error: ModuleNotFoundError) -> bool:
    """Say whether the package is installed, and only a module in it is missing: no installation mends that."""
    if isinstance(error, PackageNotFoundError) or error.name in DISTRIBUTIONS:
        return False
    return error.name is not None and "." in error.name and _exists(error.name.partition(".")[0])


def _exists(module: str) -> bool:
    try:
        return find_spec(module) is not None
    except ModuleNotFoundError:
        return False


def _distribution(module: str) -> str:
    parts = module.split(".")
    around = (".".join(parts[:depth]) for depth in range(len(parts), 0, -1))
    return next((DISTRIBUTIONS[name] for name in around if name in DISTRIBUTIONS), canonicalize_name(parts[0]))


@cache  # what is declared is this release's
def _declared() -> tuple[Requirement, ...]:
    try:
        return tuple(Requirement(line) for line in requires(OURS) or [])
    except PackageNotFoundError:
        return ()


def _extra(requirement: Requirement) -> str:
    return str(requirement.marker or "").partition("extra == ")[2].strip("\"'")
