"""The model server: one product's predictions over REST. No Airflow."""
