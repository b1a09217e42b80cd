"""Pod phase by container state by manifest by cause: one right answer each, written down a second time, by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from airflow_mlops_provider import exceptions
from airflow_mlops_provider.exceptions import MLOpsError
from airflow_mlops_provider.places.kubernetes.decisions.ends import LONGEST_MESSAGE
from airflow_mlops_provider.places.kubernetes.decisions.facts import PHASES, UNSEEN, PodFacts, observe
from airflow_mlops_provider.places.kubernetes.decisions.table import PodVerdict, conclude
from tests.factories.kube.pod_examples import STATES, pod

# The answer when nothing more is waited for. Before that, "~" waits for the pod and "?" for the manifest alone.
TABLE = """
phase      container      | absent        partial       failed     success     not_expected
unseen     -              | ~Backend      ~Backend      ~its own   ~success    ~Backend
gone       -              | JobLost       JobLost       its own    success     JobLost
any        exit 0         | ?JobLost      ?JobLost      its own    success     success
any        exit 1         | ?JobLost      ?JobLost      its own    success     Job
any        root full      | ?RootFull     ?RootFull     its own    success     Job
any        killed         | JobLost       JobLost       its own    success     JobLost
any        out of memory  | OutOfMemory   OutOfMemory   OutOfMemory success    OutOfMemory
Pending    absent         | ~Unschedulable ~Unschedulable ~its own ~success    ~Unschedulable
Pending    waiting        | ~PodStart     ~PodStart     ~its own   ~success    ~PodStart
Pending    running        | wait          wait          wait       wait        wait
Running    absent         | ~PodStart     ~PodStart     ~its own   ~success    ~PodStart
Running    waiting        | ~PodStart     ~PodStart     ~its own   ~success    ~PodStart
Running    running        | wait          wait          wait       wait        wait
Succeeded  absent         | ?JobLost      ?JobLost      its own    success     success
Succeeded  waiting        | ?JobLost      ?JobLost      its own    success     success
Succeeded  running        | ?JobLost      ?JobLost      its own    success     success
Failed     absent         | JobLost       JobLost       its own    success     JobLost
Failed     waiting        | JobLost       JobLost       its own    success     JobLost
Failed     running        | JobLost       JobLost       its own    success     JobLost
Unknown    absent         | ~NodeLost     ~NodeLost     ~its own   ~success    ~NodeLost
Unknown    waiting        | ~NodeLost     ~NodeLost     ~its own   ~success    ~NodeLost
Unknown    running        | ~NodeLost     ~NodeLost     ~its own   ~success    ~NodeLost
Pending    absent, going  | ~NodeLost     ~NodeLost     ~its own   ~success    ~NodeLost
Pending    waiting, going | ~NodeLost     ~NodeLost     ~its own   ~success    ~NodeLost
Pending    running, going | ~NodeLost     ~NodeLost     ~its own   ~success    ~NodeLost
Running    absent, going  | ~NodeLost     ~NodeLost     ~its own   ~success    ~NodeLost
Running    waiting, going | ~NodeLost     ~NodeLost     ~its own   ~success    ~NodeLost
Running    running, going | ~NodeLost     ~NodeLost     ~its own   ~success    ~NodeLost
"""
MANIFESTS = ("absent", "partial", "failed", "success", "not_expected")
CAUSES = (None, "timeout", "killed")
FRESH, LATE = 0.0, 1e6


def rows() -> list[tuple[str, str, dict[str, str]]]:
    """Return the table's rows: phase, container, and the answer for each manifest."""
    found: list[tuple[str, str, dict[str, str]]] = []
    for line in TABLE.strip().splitlines()[1:]:
        which, _, answers = line.partition("|")
        phase, container = (part.strip() for part in which.split(" ", 1))
        cells = answers.replace("its own", "its_own").split()
        phases = PHASES if phase == "any" else (phase,)
        found += [(one, container, dict(zip(MANIFESTS, cells, strict=True))) for one in phases]
    return found


def facts_of(phase: str, container: str) -> PodFacts:
    """Return what is seen of a pod of a row."""
    if phase in {"unseen", "gone"}:
        return UNSEEN if phase == "unseen" else observe(None)
    return observe(pod(phase, container.removesuffix(", going"), deleting=container.endswith(", going")))


CASES = [
    pytest.param(phase, container, manifest, cause, waited, cells[manifest], id="/".join(map(str, key)))
    for phase, container, cells in rows()
    for manifest, cause, waited in itertools.product(MANIFESTS, CAUSES, (FRESH, LATE))
    if (key := (phase, container, manifest, cause, "late" if waited else "fresh"))
]


def expected(cell: str, manifest: str, cause: str | None, waited: float) -> str:
    """Return the answer that the table means, once cause and time are known."""
    if cause == "killed":
        return "JobKilled"
    waits = cell == "wait" or (cell[0] in "~?" and not waited)
    if not waits or (cell[0] == "?" and cause == "timeout"):
        return cell.lstrip("~?")
    if cause is None:
        return "wait"
    return {"success": "success", "failed": "its_own"}.get(manifest, "JobTimeout")


def answer(verdict: PodVerdict) -> str:
    """Return a verdict in the table's words."""
    if verdict.action != "error":
        return verdict.action
    return type(verdict.error).__name__.removesuffix("Error") if verdict.error else "its_own"


def test_the_table_is_whole() -> None:
    """Every phase with every state of the container is in the table, once."""
    known = [(phase, container) for phase, container, _ in rows() if "going" not in container and container != "-"]
    assert sorted(known) == sorted(itertools.product(PHASES, ["absent", *STATES]))


@pytest.mark.parametrize(("phase", "container", "manifest", "cause", "waited", "cell"), CASES)
def test_one_answer_for_every_combination(
    phase: str, container: str, manifest: Any, cause: Any, waited: float, cell: str
) -> None:
    """The decision is the table's, and what holds for all of them holds for this one."""
    facts = facts_of(phase, container)
    verdict = conclude(facts, manifest, cause, waited=waited)
    assert answer(verdict) == expected(cell, manifest, cause, waited)
    if verdict.action == "success":
        assert manifest == "success" or (manifest == "not_expected" and (container == "exit 0" or phase == "Succeeded"))
    if error := verdict.error:
        assert verdict.action == "error"
        assert isinstance(error, MLOpsError)
        assert type(error) is getattr(exceptions, type(error).__name__)
        assert error.retryable is type(error).retryable
        assert 20 < len(str(error)) <= LONGEST_MESSAGE
        assert "; " in str(error), "what to do next is missing"
    if cause is not None:
        assert verdict.action != "wait"
