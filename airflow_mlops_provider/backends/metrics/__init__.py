"""Where metrics of models and infrastructure are kept."""
