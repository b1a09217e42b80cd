"""Jobs that judge a model before it is registered."""
