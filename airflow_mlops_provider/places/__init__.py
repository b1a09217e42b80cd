"""Where a job runs: a local process, a Kubernetes pod."""
