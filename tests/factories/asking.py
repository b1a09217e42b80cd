"""Deployments whose versions need people, and who they are."""

from __future__ import annotations

#: The deployment of a product whose versions need people: within an hour, and within seconds.
ASKS = """
from datetime import timedelta
from airflow_mlops_provider import Approval, Deployment, MLOpsDag
from airflow_mlops_provider.pipelines import products

# Airflow takes a task that goes on within its scheduler's next look for a failed one.
RETRIES = {"retries": 2, "retry_delay": timedelta(seconds=1)}
def tell(context):
    print("REMINDED:", context["mlops_reminder"], *context["mlops_people"])


(product,) = products(__file__)
owners = product.business.owners.model_copy(update={"ml_engineer": "anna", "devops_engineer": "ben"})
business = product.business.model_copy(update={"owners": owners})
for name, within, further in (
    ("asks", timedelta(hours=1), {"airflow_roles": ("op",)}),
    ("asks_briefly", timedelta(seconds=16), {"escalate": ("devops_engineer",)}),
):
    approval = Approval(roles=("ml_engineer",), four_eyes=True, within=within, remind=within / 2, **further)
    changes = {"business": business, "deployment": Deployment(approval=approval)}
    settings = {"schedule": None, "is_paused_upon_creation": False, "default_args": RETRIES}
    globals()[name] = MLOpsDag(product.model_copy(update=changes), "deployment", dag_id=name, **settings)
    globals()[name]["approve"].notifiers = [tell]
"""
#: Beside the administrator, with their roles in Airflow; they may all answer what Airflow asks.
PEOPLE = {"anna": "user", "ben": "op", "carl": "user"}
