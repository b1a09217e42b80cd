"""The whole MLOps loop as an Airflow provider: features, training, registry, serving, monitoring, feedback."""

__version__ = "0.1.0"
