"""The one way in for others' parts: by a built-in name, an import path ``package.module:Object``, or an entry point.

Here stands each kind of part that there is; its contract is the class that it names, and the contract's tests are in
:mod:`airflow_mlops_provider.testing`.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import MappingProxyType
from typing import Any

from airflow_mlops_provider.exceptions import ConfigurationError, PartError, UnknownNameError

_PATH = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


@dataclass(frozen=True)
class ExtensionPoint:
    """Where the parts of one kind are looked for.

    :param kind: what messages call such a part.
    :param package: each of its modules but the ``helpers`` holds a built-in part of that name, as ``attribute``; as
        what the module itself is called where that is empty. None: only the ``further`` ones are built in.
    :param group: the entry-point group in which other distributions name their parts.
    :param contract: what a part is an instance of, as ``package.module:Class``; anything will do where it is empty. A
        class that is named stands for the instance made of it without arguments.
    :param classes: a part is a subclass of the contract instead, for whoever uses it to make instances of.
    :param nested: the modules lie one folder deeper.
    :param further: parts of ours that are no module of their own in the package: import paths by name.
    """

    kind: str
    package: str | None
    attribute: str
    group: str
    helpers: tuple[str, ...] = ("base",)
    contract: str = ""
    classes: bool = False
    nested: bool = False
    further: Mapping[str, str] = field(default_factory=dict, hash=False)

    def find(self, name: str) -> Any:
        """Return the part of that name.

        :raises UnknownNameError: if there is none; the message lists the known names.
        :raises PartError: if it can't be loaded, or is not what its kind must be.
        """
        where = self.where(name)
        try:
            part = EntryPoint("", where, "").load()
            if not self.contract:
                return part
            contract = EntryPoint("", self.contract, "").load()
            fits = isinstance(part, type) and issubclass(part, contract)
            if fits and not self.classes:
                part = part()
        except Exception as error:  # it may be others' code: whatever it raises, what names it can't be used
            raise PartError(f"{self.kind} {name!r} can't be loaded: {type(error).__name__}: {error}") from error
        if fits or (not self.classes and isinstance(part, contract)):
            return part
        raise PartError(f"{name!r} names {part!r:.200}, which is no {contract.__name__}")

    def checked(self, name: str) -> str:
        """Return a name that a part can have, without loading it: declarations are checked while DAGs are parsed.

        An import path counts if it reads like one, as everywhere in a declaration: who shows it need not have the code.

        :raises UnknownNameError: for a name that nobody gave to a part.
        """
        self.where(name)
        return name

    def where(self, name: str) -> str:
        """Return the import path of a part. :raises UnknownNameError: if there is none of that name."""
        if _PATH.fullmatch(name):
            return name
        known = self.known()
        if name not in known:
            raise UnknownNameError(self.kind, name, known)
        return known[name]

    def modules(self, name: str) -> set[str]:
        """Return the modules in which a part lies: the one that its path names, and the one of its class."""
        part = self.find(name)
        kind = part if isinstance(part, type) else type(part)
        return {self.where(name).partition(":")[0], kind.__module__}

    def known(self) -> dict[str, str]:
        """Return the import path of each part that has a name. Nobody's comes in the place of one of ours."""
        return {
            **self.builtin,
            **{name: path for name, path in _elsewhere(self.group).items() if name not in self.builtin},
        }

    @property
    def builtin(self) -> MappingProxyType[str, str]:
        """The import path of each part of ours, by its name."""
        return _ours(self)


@cache
def _ours(point: ExtensionPoint) -> MappingProxyType[str, str]:
    if point.package is None:
        return MappingProxyType(dict(point.further))
    (folder,) = importlib.import_module(point.package).__path__
    around = Path(folder).glob("[!_]*/") if point.nested else [Path(folder)]
    paths = dict(point.further)
    for file in sorted(entry for room in around for entry in room.iterdir()):
        name, is_module = file.stem, file.suffix == ".py" or (file / "__init__.py").is_file()
        if is_module and not name.startswith("_") and name not in point.helpers:
            room = f"{point.package}.{file.parent.name}" if point.nested else point.package
            paths[name] = f"{room}.{name}:{point.attribute or name}"
    return MappingProxyType(paths)


@cache
def _elsewhere(group: str) -> dict[str, str]:
    parts: dict[str, str] = {}
    for entry in _entries().select(group=group):
        if parts.setdefault(entry.name, entry.value) != entry.value:
            raise ConfigurationError(
                f"{parts[entry.name]} and {entry.value} are both called {entry.name!r} in {group}; "
                "uninstall a distribution, or name the part by its import path"
            )
    return parts


@cache  # it reads the metadata of all that is installed
def _entries() -> Any:  # EntryPoints; before Python 3.12 groups of them, which select alike
    return entry_points()


#: By what this module is called: a model that carries the code which applies it has it in a package of its own.
_OURS = __name__.rpartition(".")[0]
#: A step's work; see :func:`.runtime.definition.find_job`.
JOBS = ExtensionPoint(
    "job", f"{_OURS}.jobs", "", "airflow_mlops.jobs", (), f"{_OURS}.runtime.definition:JobDefinition", nested=True
)
#: What a product's ``problem`` names.
PROBLEMS = ExtensionPoint(
    "problem",
    f"{_OURS}.problems",
    "PROBLEM",
    "airflow_mlops.problems",
    ("base", "labels", "own_metric", "predictions", "statistics", "two_classes", "worth"),
    f"{_OURS}.problems.base:Problem",
)
#: What a trainer's ``flavor`` names, and every model's own folder.
FLAVORS = ExtensionPoint(
    "model flavor",
    f"{_OURS}.backends.models",
    "FLAVOR",
    "airflow_mlops.flavors",
    ("base", "columns", "inputs", "outputs", "returned", "skops_archive"),
    f"{_OURS}.backends.models.base:Flavor",
)
#: What a product's ``data.validator`` names.
VALIDATORS = ExtensionPoint(
    "validator",
    f"{_OURS}.backends.validation",
    "VALIDATOR",
    "airflow_mlops.validators",
    contract=f"{_OURS}.backends.validation.base:Validator",
)
#: What a product's ``monitoring.drift_method`` names.
DRIFT_METHODS = ExtensionPoint(
    "drift method",
    f"{_OURS}.backends.drift",
    "DRIFT_METHOD",
    "airflow_mlops.drift_methods",
    contract=f"{_OURS}.backends.drift.base:DriftMethod",
)
#: What the scheme of an artifact root's URI names.
STORES = ExtensionPoint(
    "artifact store",
    f"{_OURS}.storage.stores",
    "STORE",
    "airflow_mlops.stores",
    contract=f"{_OURS}.storage.stores.base:ArtifactStore",
    classes=True,
)
#: What the field *forge* of a connection to a source repository names.
FORGES = ExtensionPoint(
    "forge",
    f"{_OURS}.backends.source.forges",
    "FORGE",
    "airflow_mlops.forges",
    contract=f"{_OURS}.backends.source.forges.base:Forge",
    classes=True,
)
#: What the field *kind* of a connection to a team's CI names.
CI_SYSTEMS = ExtensionPoint(
    "CI system",
    f"{_OURS}.backends.source.ci",
    "CI",
    "airflow_mlops.ci",
    contract=f"{_OURS}.backends.source.ci.base:CISystem",
    classes=True,
)
#: What the field *kind* of a connection to streams names.
STREAMS = ExtensionPoint(
    "kind of streams",
    f"{_OURS}.backends.streams",
    "STREAMS",
    "airflow_mlops.streams",
    ("base", "landing"),
    f"{_OURS}.backends.streams.base:StreamServer",
    classes=True,
)
#: What a product's ``serving.target`` names.
MODEL_SERVERS = ExtensionPoint(
    "kind of model server",
    f"{_OURS}.backends.model_server",
    "SERVER",
    "airflow_mlops.model_servers",
    ("base", "client", "following", "launcher", "releases", "state"),
    f"{_OURS}.backends.model_server.base:ModelServer",
    classes=True,
)
#: What ``[mlops] places`` describes: a class that takes its settings by keyword.
PLACES = ExtensionPoint(
    "kind of place",
    None,
    "",
    "airflow_mlops.places",
    contract=f"{_OURS}.places.base:Place",
    classes=True,
    further={
        "kubernetes_pod": f"{_OURS}.places.kubernetes.place:KubernetesPod",
        "local_process": f"{_OURS}.places.local_process:LocalProcess",
    },
)
#: What the second argument of ``MLOpsDag`` and ``MLOpsTaskGroup`` names.
PIPELINES = ExtensionPoint(
    "pipeline",
    f"{_OURS}.pipelines",
    "PIPELINE",
    "airflow_mlops.pipelines",
    ("base", "dag"),
    f"{_OURS}.pipelines.base:Pipeline",
)
