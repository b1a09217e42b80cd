"""Jobs that hold data against its expectations."""
