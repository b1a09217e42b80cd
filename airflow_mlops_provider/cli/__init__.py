"""`airflow mlops …`: the commands of a person at a terminal."""
