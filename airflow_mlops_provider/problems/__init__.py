"""What a kind of problem decides: labels, metrics, baseline, intervals."""
