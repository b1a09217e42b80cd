"""OpenLineage: a job's record as datasets and facets. Its client may be absent: import this only when it is asked."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote, urlsplit

import attr
from openlineage.client.event_v2 import InputDataset, OutputDataset
from openlineage.client.facet_v2 import (
    RunFacet,
    dataset_type_dataset,
    dataset_version_dataset,
    datasource_dataset,
    input_statistics_input_dataset,
    output_statistics_output_dataset,
    schema_dataset,
)

from airflow_mlops_provider import __version__
from airflow_mlops_provider.lifecycle.records.lineage import process
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion, Reference
from airflow_mlops_provider.storage.artifacts import open_store

FACET = "mlops"
#: Where the facet's JSON Schema is: in this very distribution.
PRODUCER = f"pkg:pypi/airflow-mlops-provider@{__version__}"
SCHEMA = f"{PRODUCER}#airflow_mlops_provider/backends/lineage/openlineage.schema.json"


@attr.define
class MLOpsRunFacet(RunFacet):
    """How a job's result was made, as its manifest tells it; ``openlineage.schema.json`` describes each field."""

    product: str
    job: str
    address: str | None = None
    interval: str | None = None
    commit: str | None = None
    dirty: bool | None = None
    repository: str | None = None
    code: dict[str, str] = attr.field(factory=dict)
    settings: dict[str, Any] = attr.field(factory=dict)
    seed: int | None = None
    environment: str | None = None
    packages: int | None = None
    image: str | None = None
    hardware: dict[str, Any] = attr.field(factory=dict)
    metrics: dict[str, float] = attr.field(factory=dict)
    reused: str | None = None

    @staticmethod
    def _get_schema() -> str:
        return SCHEMA


@dataclass
class Facets:
    """What OpenLineage is told of one task."""

    inputs: list[InputDataset]
    outputs: list[OutputDataset]
    run: dict[str, RunFacet]


def facets(spec: JobSpec, manifest: Manifest | None) -> Facets:
    """Return what is known of a job's run.

    :param spec: what was asked.
    :param manifest: what came of it, of finished work that was found too; None if the job left none.
    """
    result = manifest.result if manifest else None
    files = result.facts.get("files", {}) if result else {}  # the deliveries that a snapshot was read from
    landing = open_store(spec.services.landing).uri
    read = [InputDataset(*_place(f"{landing}/{key}"), facets=_version(sha256)) for key, sha256 in files.items()]
    return Facets(
        inputs=[*read, *(_input(spec, each) for each in spec.references)],
        outputs=[_output(spec, manifest, result)] if manifest and result else [],
        run={FACET: _run(spec, manifest)},
    )


def _run(spec: JobSpec, manifest: Manifest | None) -> MLOpsRunFacet:
    interval = str(spec.interval) if spec.interval else None
    facet = MLOpsRunFacet(product=spec.product, job=spec.job, interval=interval, producer=PRODUCER)
    if manifest is None:
        return facet
    made = process(manifest)
    return attr.evolve(
        facet,
        address=made.address,
        commit=made.commit.commit,
        dirty=made.commit.dirty,
        repository=made.commit.repository,
        code=made.code,
        settings=made.settings or {},
        seed=made.seed,
        environment=made.environment,
        packages=len(manifest.packages),
        image=made.image,
        hardware=made.hardware,
        metrics=manifest.metrics,
        reused=None if made.run.same_task(spec.run) else made.run.path,
    )


def _input(spec: JobSpec, reference: Reference) -> InputDataset:
    rows = _rows(reference)
    counted = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(rowCount=rows)
    return InputDataset(*_name(spec, reference), facets=_facets(reference), inputFacets={"inputStatistics": counted})


def _output(spec: JobSpec, manifest: Manifest, result: Reference) -> OutputDataset:
    written = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
        rowCount=_rows(result), size=sum(output.bytes for output in manifest.outputs), fileCount=len(manifest.outputs)
    )
    columns = list(_columns(manifest))
    described = {"schema": schema_dataset.SchemaDatasetFacet(fields=columns)} if columns else {}
    return OutputDataset(
        *_name(spec, result), facets={**_facets(result), **described}, outputFacets={"outputStatistics": written}
    )


def _name(spec: JobSpec, reference: Reference) -> tuple[str, str]:
    """Return a dataset's namespace and name: the same for each version of it, that is its folder without the address.

    A registered version bears the URI of its model; what was registered is told apart from what was trained.
    """
    if isinstance(reference, ModelVersion):
        return _place(f"{open_store(spec.root).uri}/{reference.name}/versions")
    return _place(reference.uri.rsplit("/", 2)[0])


def _place(uri: str) -> tuple[str, str]:
    """Return namespace and name by OpenLineage's conventions for folders and buckets."""
    parts = urlsplit(uri)
    if parts.scheme == "file":
        return "file", unquote(parts.path)
    return f"{parts.scheme}://{parts.netloc}", parts.path.lstrip("/")


def _facets(reference: Reference) -> dict[str, Any]:
    version = str(reference.version) if isinstance(reference, ModelVersion) else reference.hash
    kind = "MODEL" if isinstance(reference, Model | ModelVersion) else "FILE"
    return {
        **_version(version),
        "datasetType": dataset_type_dataset.DatasetTypeDatasetFacet(datasetType=kind, subType=reference.kind.upper()),
        "dataSource": datasource_dataset.DatasourceDatasetFacet(name=_place(reference.uri)[0], uri=reference.uri),
    }


def _version(version: str) -> dict[str, Any]:
    return {"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion=version)}


def _rows(reference: Reference) -> int | None:
    rows = reference.facts.get("rows")
    return sum(rows.values()) if isinstance(rows, dict) else rows


def _columns(manifest: Manifest) -> Iterator[schema_dataset.SchemaDatasetFacetFields]:
    """Yield what the product declares of a result's tables: the sources' columns, or the views' keys and features."""
    declared, made = manifest.spec.settings, manifest.spec.job
    tables: dict[str, dict[str, Any]] = {}
    if made == "extract":
        tables = {source["name"]: source["columns"] for source in declared.get("sources", ())}
    elif made == "compute":
        views = declared.get("shape", {}).get("views", ())
        tables = {view["name"]: {**dict.fromkeys(view["keys"]), **view["features"]} for view in views}
    for table, columns in tables.items():
        inside = [schema_dataset.SchemaDatasetFacetFields(name=name, type=kind) for name, kind in columns.items()]
        yield schema_dataset.SchemaDatasetFacetFields(name=table, type="struct", fields=inside)
