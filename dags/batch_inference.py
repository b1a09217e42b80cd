"""Batch inference for every product beside this file, as airflow_mlops_provider.pipelines.batch_inference has it."""

from airflow_mlops_provider import MLOpsDag
from airflow_mlops_provider.pipelines import products

for product in products(__file__):
    MLOpsDag(product, "batch_inference")
