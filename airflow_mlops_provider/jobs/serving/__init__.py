"""Jobs that predict in batch."""
