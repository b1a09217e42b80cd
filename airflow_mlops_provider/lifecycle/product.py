"""A product, declared once: what it is for, who owns it, its data, its model, its limits."""

from __future__ import annotations

from pydantic import model_validator

from airflow_mlops_provider.lifecycle.frozen import Frozen, only_known
from airflow_mlops_provider.lifecycle.placed import Placed, section_of
from airflow_mlops_provider.lifecycle.problem import DeclaredProblem, Metric, check_limits, metric_of
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
from airflow_mlops_provider.lifecycle.source import EVENT_TIME
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Name


class MLProduct(Frozen):
    """One product, declared once, in sections; an operator takes the one that its job needs.

    :param name: its name in DAG ids, assets, folders and the registry; also its Python package.
    :param goal: the question that the model answers, in a sentence.
    :param search: what experiments may try; None for a product without experiments.
    """

    name: Name
    goal: str
    problem: DeclaredProblem
    business: Business
    schedule: Schedule
    data: Data
    features: Features
    label: Label
    training: Training
    evaluation: EvaluationSettings
    search: Search | None = None
    serving: Serving = Serving()
    monitoring: Monitoring = Monitoring()

    @model_validator(mode="after")
    def _holds_together(self) -> MLProduct:
        request = self.features.request
        only_known("label.by column", self.label.by, {*request, EVENT_TIME})
        only_known("slice", self.evaluation.slices, request)
        only_known("baseline", [self.evaluation.baseline] if self.evaluation.baseline else [], request)
        hidden = {
            column for times in self.data.known_later.values() for columns in times.values() for column in columns
        }
        leaked = sorted((hidden | {self.label.column, self.label.known_at}) & set(request))
        if leaked:
            raise ValueError(f"request columns {leaked} are known only after the prediction is asked for")
        gates = self.evaluation.gates
        limits = {
            "evaluation.gates.min_metric": gates.min_metric,
            "evaluation.gates.min_slice": gates.min_slice,
            "monitoring.min_metric": self.monitoring.min_metric,
            "search.target": self.search.target if self.search else None,
        }
        check_limits(self.metric, limits, {"evaluation.gates.min_gain": gates.min_gain})
        return self

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
