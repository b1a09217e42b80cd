"""What tests do to the components of a local Airflow that runs."""

from __future__ import annotations

import psutil

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
