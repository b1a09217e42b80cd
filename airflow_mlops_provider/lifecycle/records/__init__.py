"""What is asked of a job and what it leaves: specification, manifest, lineage, reproduction."""
