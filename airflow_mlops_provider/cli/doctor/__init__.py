"""``airflow mlops doctor``: what this installation can show of each row of the paper's checklist, and its stack."""
