"""The artifact root: a folder, a prefix in an S3 bucket, or another's store."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends import probes
from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.hooks.base import ServiceHook
from airflow_mlops_provider.storage.artifacts import ArtifactStore, BucketStore, FolderStore, open_store


class ArtifactStoreHook(ServiceHook):
    """The artifact root; by default ``[mlops] artifact_root``, and without that ``$AIRFLOW_HOME/mlops``.

    ``root`` is a folder, ``s3://bucket/prefix``, or the URI of another's store, which its scheme names.
    ``endpoint_url`` and ``region`` say where a bucket is that is not AWS's own; login and password are access key and
    secret key, or what another's store takes them for. Without keys, boto3 finds its own (a role, a profile).
    """

    default_conn_name = "mlops_artifact_store"
    conn_type = "mlops_artifact_store"
    hook_name = "MLOps artifact store"
    login_variable, password_variable = "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"

    def settings(self) -> dict[str, Any]:
        """Return the root's URI, and where its bucket is."""
        root = self.extra.get("root") or self.connection.host
        if self.defined and not root:
            raise self.error("has no root; give a folder or s3://bucket/prefix")
        further = {name: self.extra.get(name) for name in ("endpoint_url", "region")}
        return {"root": open_store(root or defaults.option("artifact_root") or str(defaults.home())).uri, **further}

    def secrets(self) -> dict[str, str]:
        """Return the access keys, and the bucket's place, as boto3 and MLflow read them."""
        settings = self.settings()
        addresses = {
            "AWS_DEFAULT_REGION": settings["region"],
            "AWS_ENDPOINT_URL_S3": settings["endpoint_url"],
            "MLFLOW_S3_ENDPOINT_URL": settings["endpoint_url"],
        }
        store = open_store(settings["root"])
        variables = store.login_variable or self.login_variable, store.password_variable or self.password_variable
        keys = dict(zip(variables, self.credentials or ("", ""), strict=True))
        return {name: value for name, value in {**keys, **addresses}.items() if name and value}

    def store(self) -> ArtifactStore:
        """Return the artifact root, opened with the connection's own keys."""
        return open_store(self.settings()["root"], self.secrets())

    get_conn = store

    def probe(self) -> str:
        """Write, read and delete something at the root."""
        settings = self.settings()
        store = self.store()
        if isinstance(store, BucketStore):
            probes.bucket(settings["root"], settings["endpoint_url"], settings["region"], self.credentials)
        elif isinstance(store, FolderStore):
            probes.folder(store.root)
        else:
            probes.store(store)
        return f"{settings['root']} can be written and read"


def artifact_folder() -> Path:
    """Return the folder in which embedded defaults keep their files: the artifact root, if that is one."""
    return defaults.folder_of(ArtifactStoreHook().settings()["root"])
