"""How a job runs: what it is given, at which address its result goes, and the record it leaves. No Airflow."""
