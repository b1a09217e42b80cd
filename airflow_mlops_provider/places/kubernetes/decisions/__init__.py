"""What a pod's state means: pure values and decisions, nothing is asked or sent."""
