"""Jobs that build training sets and train models on them."""
