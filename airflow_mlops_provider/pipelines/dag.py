"""A whole pipeline in one line: a DAG of its own, or a task group of anybody's DAG."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from airflow.sdk import DAG, TaskGroup

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.extensions import PIPELINES
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.pipelines import defaults
from airflow_mlops_provider.pipelines.base import Hooks, Pipeline, Steps


class MLOpsDag(DAG):
    """A product's pipeline as a DAG; ``dag["train"]`` is the task of that name.

    :param product: the product's declaration.
    :param pipeline: ``feature_engineering``, ``training``, ``deployment``, ``batch_inference``, ``monitoring`` or
        ``experimentation``; or one of your own, by ``package.module:Object`` or an entry point.
    :param dag_id: by default ``<product>_<pipeline>``.
    :param replace: what makes a step's task in place of the pipeline's own operator, by step.
    :param insert: what makes a task behind a step, whose result takes the place of the step's, by step.
    :param without: steps to leave out.
    :param tags: in addition to the pipeline's.
    :param settings: any argument of a DAG. ``default_args`` and ``params`` are added to the pipeline's, key by key;
        everything else, such as ``schedule``, takes the place of the pipeline's.
    """

    def __init__(
        self,
        product: MLProduct,
        pipeline: str,
        *,
        dag_id: str | None = None,
        replace: Mapping[str, Callable[..., Any]] | None = None,
        insert: Mapping[str, Callable[[Any], Any]] | None = None,
        without: Collection[str] = (),
        tags: Sequence[str] = (),
        **settings: Any,
    ) -> None:
        whole, hooks = _pipeline(pipeline), Hooks(replace or {}, insert or {}, without)
        common, own = defaults(product, whole.doc), whole.settings(product)
        merged = {
            name: {**own.get(name, {}), **common[name], **(settings.pop(name, None) or {})}
            for name in ("params", "default_args")
        }
        super().__init__(
            dag_id or _named(product, pipeline),
            **{**common, **own, "tags": [*common["tags"], *tags], **merged, **settings},
        )
        with self:
            _build(whole, Steps(product, hooks, {}), hooks, self.task_group)

    def __getitem__(self, name: str) -> Any:
        """Return the task of that name, its task groups left away. :raises UnknownNameError: naming those there are."""
        return _task(self.task_group, name)


class MLOpsTaskGroup(TaskGroup):
    """A product's pipeline as a task group of the DAG at hand, whose schedule is yours; ``group["train"]`` is a task.

    Its tasks have the pipeline's ``default_args`` below those of the DAG, and its parameters where the DAG has none of
    that name. The other arguments are those of :class:`MLOpsDag`.

    :param group_id: by default ``<product>_<pipeline>``.
    :param settings: any argument of a task group.
    """

    def __init__(
        self,
        product: MLProduct,
        pipeline: str,
        *,
        group_id: str | None = None,
        replace: Mapping[str, Callable[..., Any]] | None = None,
        insert: Mapping[str, Callable[[Any], Any]] | None = None,
        without: Collection[str] = (),
        **settings: Any,
    ) -> None:
        whole, hooks = _pipeline(pipeline), Hooks(replace or {}, insert or {}, without)
        common, own = defaults(product, whole.doc), whole.settings(product)
        super().__init__(group_id=group_id or _named(product, pipeline), **settings)
        self.default_args = {**common["default_args"], **self.dag.default_args, **self.default_args}
        params = {**own.get("params", {}), **common["params"]}
        missing = {name: param for name, param in params.items() if name not in self.dag.params}
        with self:
            _build(whole, Steps(product, hooks, missing), hooks, self)

    def __getitem__(self, name: str) -> Any:
        """Return the task of that name, its task groups left away. :raises UnknownNameError: naming those there are."""
        return _task(self, name)


def _pipeline(name: str) -> Pipeline:
    pipeline: Pipeline = PIPELINES.find(name)
    return pipeline


def _named(product: MLProduct, pipeline: str) -> str:
    return f"{product.name}_{pipeline.rpartition(':')[2]}"


def _build(pipeline: Pipeline, steps: Steps, hooks: Hooks, group: TaskGroup) -> None:
    pipeline.build(steps)
    hooks.check(steps.names)
    for name, child in [*group.children.items()]:
        if isinstance(child, TaskGroup) and not child.children:  # all of its steps are left out
            del group.children[name]


def _task(group: TaskGroup, name: str) -> Any:
    tasks = {str(task.label): task for task in group.iter_tasks()}
    if name not in tasks:
        raise UnknownNameError("task", name, tasks)
    return tasks[name]
