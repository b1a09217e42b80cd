"""References: the small frozen values that travel through XCom in place of data."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter

from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.lifecycle.frozen import Frozen, Json, digest
from airflow_mlops_provider.lifecycle.interval import Interval


class Reference(Frozen):
    """Where a finished job's output lies and what is in it.

    :param uri: the folder that holds the output files; their ``manifest.json`` lies one folder up.
    :param hash: SHA-256 over the names and contents of the output files.
    :param facts: a few small JSON values a reader wants without opening the data (rows, a version, …). Like all that
        travels they are claims: whoever decides by them reads them in the record.
    """

    kind: str
    uri: str
    hash: str
    facts: Json = {}


class Dataset(Reference):
    """Tables on disk: raw snapshots, cleaned tables, features, training sets, predictions."""

    kind: Literal["dataset"] = "dataset"
    interval: Interval | None = None


class DatasetList(Reference):
    """Many datasets, named once: ``uri`` is a list of them in the artifact root, ``hash`` follows from theirs."""

    kind: Literal["dataset_list"] = "dataset_list"
    count: int


class Model(Reference):
    """A trained model's files, in a format that loads without unpickling."""

    kind: Literal["model"] = "model"


class ModelVersion(Reference):
    """A model that the registry knows under a name and a number; ``uri`` and ``hash`` are the model's."""

    kind: Literal["model_version"] = "model_version"
    name: str
    version: int


class BuiltImage(Reference):
    """An image that the team's CI has built and pushed; what it is, the record at ``uri`` says."""

    kind: Literal["image"] = "image"


#: What our reports are about, and so what "passed" means: expectations met; the naive baseline cleared; drift, or the
#: metric, within its limit; the trial not failed; a winner, or a retuned model, worth having; exported; all agrees;
#: nothing left of whom is to be forgotten; labels there, and no column that gives them away.
About = Literal[
    "profile",
    "expectations",
    "evaluation",
    "drift",
    "performance",
    "trial",
    "search",
    "retuning",
    "export",
    "deployment",
    "erasure",
]


class Report(Reference):
    """A judgement with its evidence.

    :param about: what is judged, of ours one of ``About``; None in reports of releases that didn't say.
    :param passed: what it says; who acts on it takes it from :meth:`verdict`.
    :param broken: a short line for each thing that did not hold.
    :param page: file name of the page that a person reads, inside ``uri``.
    """

    kind: Literal["report"] = "report"
    about: str | None = None
    passed: bool
    broken: tuple[str, ...] = ()
    page: str | None = None

    def verdict(self, about: About) -> bool:
        """Return whether it passed. :raises IntegrityError: if it is a report about something else."""
        if self.about not in (None, about):
            raise IntegrityError(f"{self.uri} is a report about {self.about}, not about {about}")
        return self.passed


AnyReference = Annotated[
    Dataset | DatasetList | Model | ModelVersion | BuiltImage | Report, Field(discriminator="kind")
]
_ADAPTER: TypeAdapter[AnyReference] = TypeAdapter(AnyReference)


def parse_reference(value: Any) -> AnyReference:
    """Return the reference that a JSON value (an XCom, a manifest's field) describes; anything else is an error."""
    return _ADAPTER.validate_python(value)


def list_hash(references: Iterable[Reference]) -> str:
    """Return the hash that stands for several references, in their order."""
    return digest([reference.hash for reference in references])


def parse_references(value: Any) -> AnyReference | tuple[AnyReference, ...]:
    """Return the reference, or the tuple of references, that an XCom holds."""
    if isinstance(value, dict):
        return parse_reference(value)
    return tuple(map(parse_reference, value))
