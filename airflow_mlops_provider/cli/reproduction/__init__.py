"""``airflow mlops reproduce``: what is compared, the folder it works in, and the process that has the recorded code."""
