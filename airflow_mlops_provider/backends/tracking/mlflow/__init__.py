"""MLflow: runs, logged models, and the model registry."""
