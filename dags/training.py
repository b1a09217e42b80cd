"""Training for every product beside this file, as airflow_mlops_provider.pipelines.training has it."""

from airflow_mlops_provider import MLOpsDag
from airflow_mlops_provider.pipelines import products

for product in products(__file__):
    MLOpsDag(product, "training")
