"""From request columns and stored features to model inputs and predictions: one path for training, batch and REST."""
