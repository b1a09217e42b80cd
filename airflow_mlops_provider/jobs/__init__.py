"""The work itself, where the data is. No Airflow: a job runs the same in a process, a pod or a notebook."""
