"""A search for better settings, by hand: many trials side by side, then a report and the winner on a branch.

For every product beside this file that declares a search. Start it with the form: how many trials, and when to stop.
Trials learn from the earlier training rows and are judged on the later ones; the window that models are evaluated on is
not looked at. Production is not touched: merging the branch is what changes the training pipeline. Where it is the data
that should change, the form or the figures say so, and data engineering is asked.
"""

from __future__ import annotations

from airflow.sdk import DAG, TaskGroup, conf

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
from airflow_mlops_provider.pipelines import defaults, products

for product in products(__file__):
    if product.search is None:
        continue
    common = defaults(product, __doc__)
    with DAG(
        dag_id=f"{product.name}_experimentation",
        schedule=None,
        max_active_runs=1,
        **{**common, "params": {**form(product), **common["params"]}},
    ):
        with TaskGroup("features"):
            plan = ExperimentPlanDataOperator(task_id="plan", product=product, window="{{ params.window }}")
            data = FeastBuildTrainingSetOperator(task_id="build_training_set", product=product, features=plan.output)

        with TaskGroup("experimentation"):
            slots = ExperimentPlanTrialsOperator(task_id="plan_trials", product=product)
            split = ExperimentOpenSearchOperator(task_id="open_search", product=product, training_set=data.output)
            trials = ExperimentRunTrialOperator.partial(
                task_id="trial",
                product=product,
                split=split.output,
                place="{{ params.place }}",
                map_index_template="trial {{ task.slot }}",
                max_active_tis_per_dagrun=conf.getint("mlops", "search_parallel", fallback=2),
            ).expand(slot=slots.output)
            # Also where a trial failed for good: what the others found is not lost with it.
            search = ExperimentConcludeSearchOperator(
                task_id="conclude", product=product, split=split.output, trigger_rule="all_done"
            )
            ExperimentExportSettingsOperator(task_id="export_settings", product=product, search=search.output)

        with TaskGroup("feedback"):
            FeedbackRequestDataChangeOperator(task_id="ask_for_data", product=product, search=search.output)

        trials >> search
