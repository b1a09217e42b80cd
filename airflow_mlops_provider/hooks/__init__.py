"""Hooks: an Airflow connection turned into configured settings."""
