"""A product, declared once: what it is for, who owns it, its data, its model, its limits."""

from __future__ import annotations

from typing import Any, TypeVar

from pydantic import ValidationError, model_validator

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import Frozen, only_known
from airflow_mlops_provider.lifecycle.placed import Placed, section_of
from airflow_mlops_provider.lifecycle.problem import DeclaredProblem, Metric, check_limits, configured, metric_of
from airflow_mlops_provider.lifecycle.release.declared import check_gates
from airflow_mlops_provider.lifecycle.release.deployment import Deployment
from airflow_mlops_provider.lifecycle.search.declaration import Search
from airflow_mlops_provider.lifecycle.sections import (
    Business,
    Data,
    EvaluationSettings,
    Features,
    Label,
    Monitoring,
    Schedule,
    Serving,
    Training,
)
from airflow_mlops_provider.lifecycle.shape import LabelColumns, Scoring, Shape
from airflow_mlops_provider.lifecycle.source import EVENT_TIME, DataType, Source
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Name

SectionT = TypeVar("SectionT", bound=Frozen)
#: The stages that look at data alone.
_BEFORE_BUSINESS = (Stage.FEATURES, Stage.VALIDATION)


class MLProduct(Frozen):
    """One product, declared once, in sections; an operator takes the one that its job needs.

    :param name: its name in DAG ids, assets, folders and the registry; also its Python package.
    :param goal: the question that the model answers, in a sentence.
    :param problem: its kind, such as ``regression``, or one with options: ``Regression(quantiles=(0.1, 0.5, 0.9))``.
    :param business: why it exists and who answers for it; without that, nothing is trained for production.
    :param search: what experiments may try; None for a product without experiments.
    """

    name: Name
    goal: str
    problem: DeclaredProblem
    business: Business | None = None
    schedule: Schedule = Schedule()
    data: Data
    features: Features = Features()
    label: Label
    training: Training
    evaluation: EvaluationSettings = EvaluationSettings()
    search: Search | None = None
    deployment: Deployment = Deployment()
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()

    @model_validator(mode="before")
    @classmethod
    def _with_defaults(cls, given: Any) -> Any:
        """Fill in what follows from other sections: which source's rows are predicted, and what a caller gives."""
        if not isinstance(given, dict) or not {"data", "label"} <= given.keys():
            return given
        try:
            data, label = Data.model_validate(given["data"]), Label.model_validate(given["label"])
            features = Features.model_validate(given.get("features", {}))
        except ValidationError:  # it is said again, with its place in the declaration
            return given
        if label.examples is None:
            source = data.source(label.source or _only([source.name for source in data.sources]))
            label = _filled(label, source=source.name)
            features = _filled(features, request=features.request or _request(source, label, data))
        return {**given, "label": label, "features": features}

    @model_validator(mode="after")
    def _holds_together(self) -> MLProduct:
        request = self.features.request
        only_known("label.by column", self.label.by, {*request, EVENT_TIME})
        sliced_by = {*self.evaluation.slices, *configured(self.problem).slices}
        only_known("slice", self.evaluation.slices, request)
        only_known("baseline", [self.evaluation.baseline] if self.evaluation.baseline else [], request)
        hidden = {
            column for times in self.data.known_later.values() for columns in times.values() for column in columns
        }
        leaked = sorted((hidden | {self.label.column, self.label.known_at}) & set(request))
        if leaked:
            raise ValueError(f"request columns {leaked} are known only after the prediction is asked for")
        configured(self.problem).check_product(self.shape, self.metric)
        gates = self.evaluation.gates
        limits = {
            "evaluation.gates.min_metric": gates.min_metric,
            "evaluation.gates.min_slice": gates.min_slice,
            "monitoring.min_metric": self.monitoring.min_metric,
            "search.target": self.search.target if self.search else None,
        }
        gains = {"evaluation.gates.min_gain": gates.min_gain, "evaluation.gates.max_gap": gates.max_gap or 0.0}
        check_limits(self.metric, limits, gains)
        check_gates(self.problem, gates, sliced_by)
        value = self.business.value if self.business else None
        if value and (why := configured(self.problem).worthless(value)):
            raise ValueError(f"business.{why}")
        if self.deployment.approval:
            self.deployment.approval.check(self.business.owners if self.business else None)
        return self

    def owner(self, role: str) -> str:
        """Return who has a role; ``nobody`` where the product does not say."""
        return str(getattr(self.business.owners, role)) if self.business else "nobody"

    def check_initiated(self, stage: Stage) -> None:
        """Make sure that somebody has said why the product exists, before it costs more than a look at its data.

        :raises ConfigurationError: if not, with what is missing.
        """
        if self.business is None and stage not in _BEFORE_BUSINESS:
            raise ConfigurationError(
                f"product {self.name!r} does not say by which number it is judged and who answers for it: give "
                "business=Business(kpi=Kpi(…), owners=Owners(…)); without that only its data are prepared, and no "
                f"{stage} begins"
            )

    @property
    def metric(self) -> Metric:
        """The metric by which models are judged: its direction and range."""
        return metric_of(self.problem, self.evaluation.metric)

    @property
    def requires(self) -> tuple[str, ...]:
        """The distributions that its trainers declare."""
        trainers = (self.training.trainer, *(self.search.algorithms if self.search else ()))
        return tuple(dict.fromkeys(name for trainer in trainers for name in trainer.requires))

    @property
    def columns(self) -> set[str]:
        """The columns that its sources and rows have."""
        sources = (name for source in self.data.sources for name in source.columns)
        return {*sources, *self.features.request}

    @property
    def places(self) -> dict[str, str]:
        """The places that its sections name, by section."""
        return {name: section.place for name, section in self if isinstance(section, Placed) and section.place}

    def place_of(self, stage: Stage) -> str | None:
        """Return the name of the place where a stage's jobs run; None where the product names none."""
        return self.places.get(section_of(stage))

    def unplaced(self) -> MLProduct:
        """Return the same product without its places: where a job runs decides nothing of what it makes."""
        sections = {name: getattr(self, name).model_copy(update={"place": None}) for name in self.places}
        return self.model_copy(update=sections)

    @property
    def shape(self) -> Shape:
        """The columns of a row on its way to the model."""
        label = LabelColumns(**{name: getattr(self.label, name) for name in LabelColumns.model_fields})
        return Shape(
            name=self.name, problem=self.problem, views=self.features.views, request=self.features.request, label=label
        )

    @property
    def scoring(self) -> Scoring:
        """The same, and the function that makes the model's inputs of it."""
        return Scoring(**dict(self.shape), assemble=self.features.assemble)


def _filled(section: SectionT, **values: Any) -> SectionT:
    """Return a section with some fields filled in that it leaves open: they count as defaults."""
    made, declared = section.model_copy(update=values), section.model_fields_set
    made.model_fields_set.intersection_update(declared)
    return made


def _only(sources: list[str]) -> str:
    if len(sources) != 1:
        raise ValueError(f"label.source: say of which source the rows to predict are; one of {', '.join(sources)}")
    return sources[0]


def _request(source: Source, label: Label, data: Data) -> dict[str, DataType]:
    """Return the columns of a source that are known when a row is to be predicted."""
    hidden = data.known_later.get(source.name, {})
    later: set[str | None] = {*hidden, *(column for columns in hidden.values() for column in columns)}
    later |= {label.column, label.known_at, label.weight, source.time}
    return {name: kind for name, kind in source.columns.items() if name not in later}
