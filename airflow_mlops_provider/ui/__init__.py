"""The MLOps pages in Airflow's UI: the state of each product, and the evidence for it. Read-only."""
