"""Models by MLflow's own names, ``models:/eta@champion``, of ours or made by anybody's code."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.models.base import flavor_of
from airflow_mlops_provider.backends.tracking.mlflow.client import MODEL_HASH, MlflowBackend
from airflow_mlops_provider.backends.tracking.mlflow.server import mlflow_call
from airflow_mlops_provider.exceptions import ConfigurationError, UnknownNameError
from airflow_mlops_provider.lifecycle.references import Model

#: What MLflow keeps as LightGBM's own text; scikit-learn style models it pickles.
BOOSTER = "lightgbm.basic.Booster"
_NAMED = re.compile(r"models:/(?P<name>[^/@'\"]+)(?:@(?P<alias>[^/@]+)|/(?P<version>\d+))")


@contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for a while."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            os.environ.pop(name)
            if value is not None:
                os.environ[name] = value


class MlflowModels(MlflowBackend):
    """Finds models in an MLflow server, and takes those that anybody may load without unpickling."""

    @mlflow_call
    def ours(self, uri: str) -> Model | None:
        """Return the model of a version that we registered; None for any other.

        :raises UnknownNameError: if there is no such version or alias; the message lists those that there are.
        """
        named = _NAMED.fullmatch(uri)
        if named is None:
            return None
        version = self._version(named["name"], named["alias"], named["version"])
        where, content = version.tags.get("mlops.model_uri"), version.tags.get(MODEL_HASH)
        return Model(uri=where, hash=content) if where and content else None

    @mlflow_call
    def take(self, uri: str, folder: Path) -> None:
        """Write a model that anybody's code logged into a folder, as ours are kept.

        :raises ConfigurationError: if it can't be loaded without unpickling, which runs whatever its file says.
        """
        import mlflow
        import yaml

        downloaded = folder.with_name("downloaded")
        downloaded.mkdir()
        # MLflow looks a model up through the process's own settings, whatever a client was given.
        mlflow.set_tracking_uri(self.uri)
        mlflow.set_registry_uri(self.uri)
        with environment(self.credentials or {}):
            mlflow.artifacts.download_artifacts(artifact_uri=uri, dst_path=str(downloaded))
        described = next(iter(sorted(downloaded.rglob("MLmodel"))), None)
        flavors: dict[str, Any] = yaml.safe_load(described.read_text())["flavors"] if described else {}
        kind = flavors.get("lightgbm", {}).get("model_class", ", ".join(sorted(flavors)) or "no model")
        if described is None or kind != BOOSTER:
            raise ConfigurationError(
                f"{uri} is {kind}; without unpickling only a {BOOSTER} is taken. Log the booster itself, or apply the "
                "model in a function of yours, by @task.mlops"
            )
        import lightgbm

        data = (described.parent / flavors["lightgbm"]["data"]).read_text()
        flavor_of("lightgbm").save(lightgbm.Booster(model_str=data), folder)

    def _version(self, name: str, alias: str | None, version: str | None) -> Any:
        known = {str(made.version): made for made in self._versions(f"name = '{name}'")}
        if not known:
            raise UnknownNameError(
                "registered model", name, [kept.name for kept in self.client.search_registered_models()]
            )
        aliases = self.client.get_registered_model(name).aliases
        if alias and alias not in aliases:
            raise UnknownNameError(f"alias of {name}", alias, aliases)
        number = str(aliases[alias] if alias else version)
        if number not in known:
            raise UnknownNameError(f"version of {name}", number, known)
        return known[number]
