"""What a version must show, how it may move, and how it came there."""
