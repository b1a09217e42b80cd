"""The provider's description for Airflow: hooks, forms, links, assets, configuration, commands."""

from __future__ import annotations

from typing import Any

from airflow_mlops_provider.extensions import CI_SYSTEMS, FORGES, STREAMS
from airflow_mlops_provider.lifecycle.stages import Stage

PACKAGE = "airflow_mlops_provider"
INTEGRATIONS = {
    "MLOps": "https://doi.org/10.1109/ACCESS.2023.3262138",
    "Feast": "https://docs.feast.dev/",
    "MLflow": "https://mlflow.org/docs/latest/",
    "Optuna": "https://optuna.readthedocs.io/",
    "Great Expectations": "https://docs.greatexpectations.io/",
    "Evidently": "https://docs.evidentlyai.com/",
    "Prometheus": "https://prometheus.io/docs/",
    "Git": "https://git-scm.com/doc",
}
LINKS = ("Manifest", "Report", "MlflowRun", "DataReport", "ServedModel", "PodLog", "RunAgain")


def get_provider_info() -> dict[str, Any]:
    """Return the provider's description, as Airflow's ``provider_info.schema.json`` wants it."""
    return {
        "package-name": "airflow-mlops-provider",
        "name": "MLOps",
        "description": "The whole MLOps loop in Airflow: features, validation, training, evaluation, registry, "
        "deployment, serving, monitoring and feedback.",
        "integrations": [
            {"integration-name": name, "external-doc-url": url, "tags": ["ml"]} for name, url in INTEGRATIONS.items()
        ],
        "operators": [
            _modules("MLOps", "operators", (*Stage, "approval", "feast", "functions", "maintenance")),
            _modules("MLOps", "places", ("kubernetes.operator",)),
        ],
        "task-decorators": [
            {"name": f"mlops{what}", "class-name": f"{PACKAGE}.decorators.mlops.mlops{what}_task"}
            for what in ("", "_train", "_validate")
        ],
        "sensors": [_modules("MLOps", "sensors", ("features", "registry", "serving", "monitoring"))],
        "triggers": [
            _modules(
                "MLOps",
                "triggers",
                (
                    *("ci", "deliveries", "deployment", "features", "registry", "serving", "monitoring"),
                    *("source", "streams", "pods"),
                ),
            )
        ],
        "hooks": [
            _modules("MLOps", "hooks", ("artifact_store", "ci", "model_server", "signing", "stream")),
            _modules("Git", "hooks", ("source",)),
            *(_modules(name, "hooks", (name.lower(),)) for name in ("Feast", "MLflow", "Optuna", "Prometheus")),
        ],
        "connection-types": _connection_types(),
        "asset-uris": [{"schemes": ["mlops"], "handler": f"{PACKAGE}.assets.sanitize_uri"}],
        "extra-links": [f"{PACKAGE}.operators.links.{name}Link" for name in LINKS],
        "config": {"mlops": {"description": "The MLOps loop.", "options": _options()}},
        "cli": [f"{PACKAGE}.cli.definition.get_mlops_cli_commands"],
    }


def _modules(integration: str, folder: str, files: tuple[str, ...]) -> dict[str, Any]:
    return {"integration-name": integration, "python-modules": [f"{PACKAGE}.{folder}.{file}" for file in files]}


def _connection_types() -> list[dict[str, Any]]:
    web = {"schema": "Scheme", "password": "Password, or a token without login"}
    return [
        _connection(
            "mlops_artifact_store",
            "artifact_store.ArtifactStoreHook",
            "MLOps artifact store",
            {
                "root": _field("Root", "A folder, or s3://bucket/prefix."),
                "endpoint_url": _field("Endpoint URL", "Only for a bucket that is not AWS's own."),
                "region": _field("Region", "The bucket's region."),
            },
            hidden_fields=["host", "port", "schema", "extra"],
            relabeling={"login": "Access key ID", "password": "Secret access key"},
            placeholders={"root": "s3://models/mlops", "region": "eu-central-1"},
        ),
        _connection(
            "feast",
            "feast.FeastHook",
            "Feast",
            {
                "repository": _field(
                    "Repository", "The folder of a feature_store.yaml that a team keeps, or that file."
                ),
                "secrets": _field("Secrets (JSON)", "What that file names as ${NAME}, by name, beside the password."),
                "online_store": _field(
                    "Online store", "Which kind of store.", enum=["sqlite", "redis", "postgres", "dynamodb"]
                ),
                "connection_string": _field("Connection string", "Redis only, in place of host and port; no password."),
                "options": _field("Options (JSON)", "Further settings of that store, as Feast names them."),
            },
            hidden_fields=["extra"],
            relabeling={"schema": "Database (PostgreSQL)"},
            placeholders={
                "repository": "/opt/features",
                "host": "redis",
                "port": "6379",
                "connection_string": "redis:6379,db=1,ssl=true",
            },
        ),
        _connection(
            "mlflow",
            "mlflow.MlflowHook",
            "MLflow",
            {},
            hidden_fields=["extra"],
            relabeling=web,
            placeholders={"host": "mlflow.example.org", "port": "443", "schema": "https"},
        ),
        _connection(
            "mlops_model_server",
            "model_server.ModelServerHook",
            "MLOps model server",
            {"kubeconfig": _field("Kubeconfig", "The way to the cluster where deployments apply it.")},
            hidden_fields=["login", "extra"],
            relabeling={"schema": "Scheme", "password": "Token"},
            placeholders={"host": "localhost", "port": "8900", "schema": "http"},
        ),
        _connection(
            "optuna",
            "optuna.OptunaHook",
            "Optuna",
            {"driver": _field("Driver", "SQLAlchemy's dialect and driver; postgresql+psycopg2 if left empty.")},
            hidden_fields=["extra"],
            relabeling={"schema": "Database"},
            placeholders={"host": "postgres", "port": "5432", "schema": "optuna", "driver": "mysql+pymysql"},
        ),
        _connection(
            "prometheus",
            "prometheus.PrometheusHook",
            "Prometheus",
            {},
            hidden_fields=["extra"],
            relabeling=web,
            placeholders={"host": "localhost", "port": "9090", "schema": "http"},
        ),
        _connection(
            "mlops_ci",
            "ci.CIHook",
            "MLOps CI",
            {
                "kind": _field("Kind", "Whose CI it is.", [*CI_SYSTEMS.known()]),
                "project": _field("Project", "The repository, as owner/name; of Jenkins the job, as folder/name."),
            },
            hidden_fields=["schema", "port", "extra"],
            relabeling={"login": "User (Jenkins)", "password": "Token"},
            placeholders={"host": "https://github.com", "kind": "github", "project": "team/models"},
        ),
        _connection(
            "mlops_stream",
            "stream.StreamHook",
            "MLOps streams",
            {
                "kind": _field("Kind", "Whose streams they are.", [*STREAMS.known()]),
                "db": _field("Database", "Redis only: its number."),
                "ssl": _field("TLS", "Redis only: whether to speak TLS.", ["true", "false"]),
                "ssl_ca_certs": _field("CA file", "Redis only: whose certificates are trusted."),
            },
            hidden_fields=["schema"],
            placeholders={"host": "redis", "port": "6379", "kind": "redis", "db": "0"},
        ),
        _connection(
            "mlops_signing",
            "signing.SigningHook",
            "MLOps signing keys",
            {
                "public_key": _field(
                    "Public key",
                    "PEM, or a file with it. With it, only models that its private key signed are loaded.",
                )
            },
            hidden_fields=["host", "port", "schema", "login", "extra"],
            relabeling={"password": "Private key"},
            placeholders={"public_key": "/etc/mlops/models.pub"},
        ),
        _connection(
            "mlops_source",
            "source.SourceHook",
            "MLOps source repository",
            {
                "remote": _field("Remote", "Address of the git repository, without user and password."),
                "forge": _field("Forge", "Whose pull requests are opened; plain: none.", ["plain", *FORGES.known()]),
                "base": _field("Base branch", "The branch that production follows; the remote's default if empty."),
                "path": _field("Path", "The product's folder in the repository; {product} is replaced by its name."),
                "api": _field("API root", "Only for a forge whose API is not where it usually is."),
            },
            hidden_fields=["host", "port", "schema", "extra"],
            relabeling={"login": "User", "password": "Token"},
            placeholders={"remote": "https://github.com/team/models.git", "base": "main", "path": "dags/{product}"},
        ),
    ]


def _connection(kind: str, hook: str, name: str, fields: dict[str, Any], **behaviour: Any) -> dict[str, Any]:
    """Return a connection's form.

    :param behaviour: what it hides, calls otherwise and shows as examples of the fields that every connection has.
    """
    return {
        "connection-type": kind,
        "hook-class-name": f"{PACKAGE}.hooks.{hook}",
        "hook-name": name,
        "conn-fields": fields,
        "ui-field-behaviour": {"relabeling": {}} | {key.replace("_", "-"): value for key, value in behaviour.items()},
    }


def _field(label: str, description: str, enum: list[str] | None = None) -> dict[str, Any]:
    schema: dict[str, Any] = {"type": ["string", "null"]}
    if enum:
        schema |= {"enum": [*enum, None]}
    return {"label": label, "description": description, "schema": schema}


def _options() -> dict[str, Any]:
    return {
        "artifact_root": _option(
            "Where results are: a folder, or s3://bucket/prefix. By default $AIRFLOW_HOME/mlops. The connection "
            "mlops_artifact_store takes precedence.",
            "s3://models/mlops",
        ),
        "default_place": _option(
            "Where jobs run for which neither their operator nor their product names a place: a name of the option "
            "places. By default local_process, a child process of the task.",
            "small",
        ),
        "installation": _option(
            "The name of this Airflow, unique in its Kubernetes cluster. Its pods are labelled with "
            "it, and maintenance removes orphans of this name only; without a name, none.",
            "production",
        ),
        "landing_root": _option(
            "Where sources deliver: a folder, or s3://bucket/prefix. By default the folder landing in the artifact "
            "root.",
            "s3://landing",
        ),
        "mlflow_uri": _option(
            "MLflow's tracking and registry URI, without credentials. By default an SQLite file in the artifact root. "
            "The connection mlops_mlflow takes precedence.",
            "http://mlflow:5000",
        ),
        "places": _option(
            "Where jobs may run: a JSON object, of names to places. Each has a kind (local_process, kubernetes_pod, or "
            "another's by import path or entry point) and its settings.",
            '{"small": {"kind": "kubernetes_pod", "image": "registry.example/mlops:1", "memory": "2Gi"}, "gpu": '
            '{"kind": "kubernetes_pod", "image": "registry.example/trainer:1", "memory": "32Gi", "gpus": 1}}',
        ),
        "poke_seconds": _option(
            "How long the delivery sensor waits between two checks, in seconds.", "300", "30", "float"
        ),
        "preload": _option(
            "What components that fork (the scheduler with LocalExecutor, the DAG processor) load once for all that "
            "they fork: operators; jobs, too, for tasks that run on the scheduler's machine (100 MB); or nothing.",
            "jobs",
            "operators",
        ),
        "products_folders": _option(
            "Further folders in which products are found, each a package with a product.py, beside the "
            "folder of the DAG files; several are separated by commas.",
            "/opt/products,/opt/more_products",
        ),
        "retry_seconds": _option(
            "How long the reference pipelines' tasks wait before they are tried again, in seconds.",
            "300",
            "30",
            "integer",
        ),
        "search_parallel": _option("How many trials of one search may run at the same time.", "8", "2", "integer"),
        "search_storage": _option(
            "SQLAlchemy URL, without credentials, of the database in which searches keep their trials. By default an "
            "SQLite file in the artifact root. The connection mlops_optuna takes precedence.",
            "postgresql+psycopg2://postgres:5432/optuna",
        ),
        "serving_port": _option(
            "Port of the local model server, in place of the product's own; for an Airflow with one product.",
            "8900",
            kind="integer",
        ),
        "warm_jobs": _option(
            "Whether local jobs are forked from a process that has loaded the libraries which jobs before used, in "
            "place of being begun anew each.",
            "False",
            "True",
            "boolean",
        ),
    }


def _option(description: str, example: str, default: str | None = None, kind: str = "string") -> dict[str, Any]:
    option = {"description": f"{description}\n", "example": example, "default": default}
    return option | {"type": kind, "version_added": "0.1.0"}
