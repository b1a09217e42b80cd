"""A search for better settings, by hand: many trials side by side, then a report and the winner on a branch.

Start it with the form: how many trials, and when to stop. Trials learn from the earlier training rows and are judged on
the later ones; the window that models are evaluated on is not looked at. Production is not touched: merging the branch
is what changes the training pipeline. Where it is the data that should change, the form or the figures say so, and data
engineering is asked.
"""

from __future__ import annotations

from typing import Any

from airflow.sdk import TaskGroup, conf

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.operators.experimentation import (
    ExperimentConcludeSearchOperator,
    ExperimentExportSettingsOperator,
    ExperimentOpenSearchOperator,
    ExperimentPlanDataOperator,
    ExperimentPlanTrialsOperator,
    ExperimentRunTrialOperator,
    form,
)
from airflow_mlops_provider.operators.features import FeastBuildTrainingSetOperator
from airflow_mlops_provider.operators.feedback import FeedbackRequestDataChangeOperator
from airflow_mlops_provider.pipelines.base import Pipeline, Steps


def settings(product: MLProduct) -> dict[str, Any]:
    """Return the DAG's own arguments: by hand, with a form. :raises ConfigurationError: if there is no search."""
    if product.search is None:
        raise ConfigurationError(f"product {product.name!r} declares no search, which experimentation is about")
    return {"schedule": None, "max_active_runs": 1, "params": form(product)}


def build(step: Steps) -> None:
    """Make the steps."""
    with TaskGroup("features"):
        plan = step("plan", ExperimentPlanDataOperator, window="{{ params.window }}")
        data = step("build_training_set", FeastBuildTrainingSetOperator, features=plan)

    with TaskGroup("experimentation"):
        slots = step("plan_trials", ExperimentPlanTrialsOperator)
        split = step("open_search", ExperimentOpenSearchOperator, training_set=data)
        trials = step(
            "trial",
            ExperimentRunTrialOperator,
            over={"slot": slots},
            split=split,
            place="{{ params.place }}",
            map_index_template="trial {{ task.slot }}",
            max_active_tis_per_dagrun=conf.getint("mlops", "search_parallel", fallback=2),
        )
        # Also where a trial failed for good: what the others found is not lost with it.
        search = step("conclude", ExperimentConcludeSearchOperator, split=split, trigger_rule="all_done", after=trials)
        step("export_settings", ExperimentExportSettingsOperator, search=search)

    with TaskGroup("feedback"):
        step("ask_for_data", FeedbackRequestDataChangeOperator, search=search)


PIPELINE = Pipeline(__doc__, settings, build)
