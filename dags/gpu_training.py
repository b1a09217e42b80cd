"""A training alone, on a GPU: any function, in any image. By hand; nothing is judged, registered or deployed.

For every product beside this file: its first trainer in PyTorch, or its own where it has none; put any other
``Trainer`` there. The form says where: image, GPUs and nodes are those that ``[mlops] places`` gives to a name. Where
there is no such place, the run is skipped. The model ends in MLflow and in the artifact root.
"""

from __future__ import annotations

from airflow.sdk import DAG, Param, TaskGroup, task
from airflow.sdk.exceptions import AirflowSkipException

from airflow_mlops_provider.exceptions import UnknownNameError
from airflow_mlops_provider.operators.features import FeastBuildTrainingSetOperator
from airflow_mlops_provider.operators.training import ModelTrainOperator, TrainingPlanRunOperator, window_param
from airflow_mlops_provider.pipelines import defaults, products
from airflow_mlops_provider.places.named import find


@task
def find_place(params, dag_run):
    """Skip a run that has nowhere to train."""
    try:
        find(params["place"], dag_run.team_name)
    except UnknownNameError as error:
        raise AirflowSkipException(f"{error}. What [mlops] places is, docs/places.md says") from None


for product in products(__file__):
    common = defaults(product, __doc__)
    algorithms = product.search.algorithms if product.search else ()
    networks = [algorithm.trainer({}) for algorithm in algorithms if algorithm.flavor == "torch"]
    form = {
        "place": Param("gpu", type="string", title="Place of the training"),
        "window": window_param(product),
    }
    with DAG(
        dag_id=f"{product.name}_gpu_training",
        schedule=None,
        max_active_runs=1,
        **{**common, "params": {**form, **common["params"]}},
    ):
        with TaskGroup("features"):
            plan = TrainingPlanRunOperator(task_id="plan", product=product, window="{{ params.window }}")
            data = FeastBuildTrainingSetOperator(task_id="build_training_set", product=product, features=plan.output)

        with TaskGroup("training"):
            ModelTrainOperator(
                task_id="train",
                product=product,
                training_set=data.output,
                trainer=(networks or [product.training.trainer])[0],
                place="{{ params.place }}",
            )

        find_place() >> plan
