"""Operators, one file per stage: thin Airflow shells around jobs."""
