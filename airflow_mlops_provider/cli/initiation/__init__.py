"""``airflow mlops init``: from data that somebody has to a product that runs."""
