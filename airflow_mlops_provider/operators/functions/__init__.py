"""Any function as a job: at a place, with a manifest, reuse and lineage; in anybody's DAG, without a product."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, ClassVar

from airflow.sdk import Context

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.hooks.tables import Files, Sql
from airflow_mlops_provider.lifecycle.interval import Interval, interval_of
from airflow_mlops_provider.lifecycle.references import AnyReference, Dataset, parse_reference
from airflow_mlops_provider.operators.base import JobOperator
from airflow_mlops_provider.operators.lineage import mapped_arguments
from airflow_mlops_provider.runtime.functions import describe
from airflow_mlops_provider.storage.artifacts import ArtifactStore


class FunctionRunOperator(JobOperator):
    """Runs any plain function as a job, and hands on the reference to the tables that it returns.

    Arguments that are references, as other tasks hand them on, reach the function as tables: of pandas, Polars or
    Arrow, as annotated. All others have to be plain: text, numbers, truth values, lists and dicts of these. A parameter
    ``interval`` that is not given gets the run's data interval. The function takes nothing else from Airflow.

    Finished work with the same inputs, arguments and code is found again, by whichever run it was done.

    :param python_callable: a function that returns a table, a dict of tables by name, or a plain value.
    :param op_args, op_kwargs: its arguments.
    :param requires: distributions whose versions the result depends on, beside those of the tables.
    """

    job = "function"
    template_fields: Sequence[str] = ("op_args", "op_kwargs", *JobOperator.template_fields)
    template_fields_renderers: ClassVar[dict[str, str]] = {"op_args": "py", "op_kwargs": "py"}

    def __init__(
        self,
        *,
        python_callable: Callable[..., Any],
        op_args: Collection[Any] = (),
        op_kwargs: Mapping[str, Any] | None = None,
        requires: Collection[str] = (),
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.python_callable, self.op_args, self.op_kwargs = python_callable, op_args, op_kwargs or {}
        self.settings = describe(python_callable, tuple(requires))

    def parts(self, store: ArtifactStore, context: Context) -> dict[str, Any]:
        params = {name: value for name, value in self._given(self).items() if not _is_table(value)}
        unfit = [name for name in self.settings.tables if params.get(name) is not None]
        if unfit:
            raise ConfigurationError(
                f"{self.settings.name!r} takes a table as {', '.join(unfit)}, not {params[unfit[0]]!r:.200}; "
                "hand it the output of a task that makes one, Files(…) or Sql(…)"
            )
        return {"settings": self.settings.to_json(), "params": params, "requires": self.settings.requires}

    def inputs(self, context: Context) -> dict[str, AnyReference | tuple[AnyReference, ...]]:
        """Return the datasets, by parameter."""
        return {
            name: self._input(name, value, context) for name, value in self._given(self).items() if _is_table(value)
        }

    def interval(self, context: Context) -> Interval | None:
        """Return the data interval of the first dataset; the run's own only for a function that takes an interval."""
        tables = (value for value in self._given(self).values() if _is_table(value))
        given = [parse_reference(value) for value in tables if isinstance(value, dict)]
        datasets = [dataset for dataset in given if isinstance(dataset, Dataset) and dataset.interval]
        takes = "interval" in inspect.signature(self.python_callable).parameters
        return datasets[0].interval if datasets else interval_of(context) if takes else None

    def _given(self, declared: Any) -> dict[str, Any]:
        """Return the arguments, by parameter; those of a function with ``**`` parameters by their own names."""
        parameters = inspect.signature(self.python_callable)
        mapped = mapped_arguments(declared)
        args, kwargs = (getattr(declared, name, mapped.get(name)) for name in ("op_args", "op_kwargs"))
        bound = parameters.bind_partial(*(args or ()), **(kwargs or {})).arguments
        kinds = {name: parameters.parameters[name].kind for name in bound}
        if inspect.Parameter.VAR_POSITIONAL in kinds.values():
            raise ConfigurationError(f"{self.settings.name!r} takes *arguments; give each a name")
        further = {name for name, kind in kinds.items() if kind is inspect.Parameter.VAR_KEYWORD}
        named = {name: value for name, value in bound.items() if name not in further}
        return named | {name: value for gathered in further for name, value in bound[gathered].items()}


def _is_table(value: Any) -> bool:
    return isinstance(value, Files | Sql) or (isinstance(value, dict) and {"kind", "uri", "hash"} <= value.keys())
