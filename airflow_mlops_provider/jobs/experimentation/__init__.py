"""Jobs of a search (open, trial, conclude, export its winner), and the small search of a retuning."""
