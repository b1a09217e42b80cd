"""A Kubernetes pod as a place: all that knows of Kubernetes is here."""
