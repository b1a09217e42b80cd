"""What surrounds a job in its process: what it may print, and its temporary files."""
