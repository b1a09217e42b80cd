"""Jobs that register a model version, and take it through the gates."""
