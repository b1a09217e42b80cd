"""The MLOps pages in Airflow's UI: what stands where, and the evidence for it. Read-only."""
