"""What a pod's state means: pure values and decisions, no cluster is contacted."""
