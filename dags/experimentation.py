"""Experimentation for every product beside this file that declares a search.

It is as airflow_mlops_provider.pipelines.experimentation has it.
"""

from airflow_mlops_provider import MLOpsDag
from airflow_mlops_provider.pipelines import products

for product in products(__file__):
    if product.search:
        MLOpsDag(product, "experimentation")
