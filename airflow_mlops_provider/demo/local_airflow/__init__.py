"""A real Airflow on this machine: its settings, its processes, its REST API. Knows nothing of the replay."""
