"""Lists of datasets, kept in the artifact root: a specification names one instead of thousands of intervals."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import TypeAdapter, ValidationError

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, DatasetList, list_hash
from airflow_mlops_provider.storage.artifacts import ArtifactStore
from airflow_mlops_provider.storage.layout import key_below, product_key

#: So many references stand in a specification itself: a pod takes 128 KiB of arguments, and people read manifests.
MOST_INLINE = 16
_DATASETS: TypeAdapter[tuple[Dataset, ...]] = TypeAdapter(tuple[Dataset, ...])


def shortened(
    store: ArtifactStore, product: str, inputs: dict[str, AnyReference | tuple[AnyReference, ...]]
) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
    """Return a job's inputs with a reference to a kept list in place of each long tuple of datasets."""
    return {
        role: _keep(store, product, given) if isinstance(given, tuple) and len(given) > MOST_INLINE else given
        for role, given in inputs.items()
    }


def members(store: ArtifactStore, reference: DatasetList) -> tuple[Dataset, ...]:
    """Return the datasets of a list. :raises IntegrityError: if it is gone, or is not what the reference says."""
    try:
        datasets = _DATASETS.validate_json(store.read(key_below(store, reference.uri)))
    except (OSError, ValidationError) as error:
        raise IntegrityError(f"the list {reference.uri} can't be read ({type(error).__name__})") from None
    if list_hash(datasets) != reference.hash:
        raise IntegrityError(f"the list {reference.uri} names other datasets than the reference says")
    return datasets


def expanded(store: ArtifactStore, spec: JobSpec) -> JobSpec:
    """Return a specification whose inputs name each dataset. :raises IntegrityError: see :func:`members`."""
    inputs = {
        role: members(store, given) if isinstance(given, DatasetList) else given for role, given in spec.inputs.items()
    }
    return spec.model_copy(update={"inputs": inputs})


def _keep(store: ArtifactStore, product: str, datasets: Sequence[AnyReference]) -> DatasetList:
    # Without their facts: those stand in the records of their making.
    bare = tuple(Dataset.model_validate({**dict(dataset), "facts": {}}) for dataset in datasets)
    content, data = list_hash(bare), _DATASETS.dump_json(bare)
    key = product_key(product, "lists", f"{content}.json")
    store.write(key, data)
    return DatasetList(uri=f"{store.uri}/{key}", hash=content, count=len(bare))
