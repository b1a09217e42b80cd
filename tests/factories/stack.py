"""What tests do to the components of a local Airflow that runs."""

from __future__ import annotations

import psutil

from airflow_mlops_provider.demo.local_airflow import processes
from airflow_mlops_provider.demo.local_airflow.stack import Stack, recorded


def pids(stack: Stack) -> dict[str, int]:
    """Return the ids of the live components."""
    return {started.name: started.pid for started in recorded(stack.home) if started.process()}


def restart(stack: Stack, component: str, timeout: float = 60) -> None:
    """Stop one component if it runs, start it, and wait until it is healthy."""
    process = stack._started[component].process()
    if process:
        process.terminate()
        _, alive = psutil.wait_procs([process], timeout=10)
        for deaf in alive:
            deaf.kill()
            deaf.wait(5)
    stack._launch(component)
    stack.wait_until_ready(timeout)


def running(stack: Stack, job: str = "") -> list[psutil.Process]:
    """Return the processes of a stack's jobs, or of those of one name, that run now, however they were started."""
    found = []
    for process in processes.marked(str(stack.home)):
        try:
            if process.name().startswith(f"mlops {job}"):
                found.append(process)
        except psutil.NoSuchProcess:  # or a zombie
            continue
    return found
