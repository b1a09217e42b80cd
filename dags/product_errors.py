"""No DAG, but an import error where a product cannot be used: which, where and why. The DAGs of all others go on."""

from airflow_mlops_provider.pipelines import check_products

check_products(__file__)
