"""What each stage of the loop is: typed values and decisions. Pure: no Airflow, no vendor SDK, no I/O."""
