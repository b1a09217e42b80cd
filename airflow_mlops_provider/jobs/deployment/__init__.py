"""Jobs that move the model server to a version, and keep it there."""
