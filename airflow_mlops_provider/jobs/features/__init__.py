"""Jobs that take an interval from its sources into the feature store."""
