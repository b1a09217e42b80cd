"""``python -m airflow_mlops_provider.jobs``: run the job whose specification comes as one JSON line on standard input.

Standard input stays open as long as whoever asked is alive. When it closes early, nobody waits for the result any
more, and the job ends at once: a killed task leaves no orphan. Exit status: 0 success, 1 failed, 2 no such job.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
import threading

from airflow_mlops_provider.backends.quiet import silence

ORPHANED = 3


def main() -> int:
    """Read the specification, run the job, and return the exit status."""
    logging.basicConfig(stream=sys.stderr, level=logging.INFO, format="%(levelname)s %(name)s: %(message)s")
    silence()
    from airflow_mlops_provider.jobs.runner import run
    from airflow_mlops_provider.lifecycle.spec import JobSpec

    spec = JobSpec.model_validate_json(sys.stdin.readline())
    threading.Thread(target=_end_with_parent, daemon=True).start()
    return 0 if run(spec).state == "success" else 1


def _end_with_parent() -> None:
    sys.stdin.read()
    if os.getpgrp() == os.getpid():  # its own session, as a place starts it: what it started ends with it
        os.killpg(0, signal.SIGKILL)
    os._exit(ORPHANED)


if __name__ == "__main__":
    status = main()
    sys.stderr.flush()
    # Vendor libraries leave threads behind that would hold the process; the manifest is on disk by now.
    os._exit(status)
