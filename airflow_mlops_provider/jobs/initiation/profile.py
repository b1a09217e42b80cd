"""Looks at any table, and proposes a product for it: what a model could learn, by when, and what speaks against it."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

from airflow_mlops_provider.jobs.initiation.page import page
from airflow_mlops_provider.jobs.tables import table_file
from airflow_mlops_provider.lifecycle.initiation.profile import Profile
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from airflow_mlops_provider.lifecycle.initiation.propose import Answers, propose
from airflow_mlops_provider.lifecycle.references import Dataset, Report
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job

PAGE = "report.html"


class Inputs(JobInputs):
    data: Dataset


class Settings(JobSettings):
    """How a table is looked at.

    :param label, time, problem: what is known of it already; None for what is to be proposed, the label ``none`` where
        nothing is labelled.
    :param table: of a dataset that has several, which is meant.
    :param owner: who answers for the product.
    """

    declared: ClassVar[bool] = False
    label: str | None = None
    time: str | None = None
    problem: str | None = None
    table: str | None = None
    owner: str = "airflow"


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.INITIATION, makes="profile", result=Report, packages=("numpy", "pyarrow"))
def profile(context: Context) -> JobResult:
    """Write the report, the profile and the proposal; it passes if there are labels, and none is given away."""
    from airflow_mlops_provider.backends.profiles.whole import Look
    from airflow_mlops_provider.backends.tables.undeclared import look

    settings, data = context.settings, context.inputs.data
    file = table_file(context.open(data), settings.table)
    known = data.facts.get("files") or data.facts.get("query") or context.product
    source = next(iter(known)) if isinstance(known, dict) else str(known)
    seen, problem = Look(*look([(file.name, file)], source)).profile(settings.label, settings.time, settings.problem)
    proposal = propose(seen, problem, Answers(name=context.product), settings.owner)
    write(context.folder, seen, proposal)
    broken = tuple(f"{each.column}: {each.evidence}" for each in seen.suspects if each.proven)
    broken += () if proposal.label else ("no column is a label",)
    context.log.info("%s of %s, %d leakage suspects", problem.kind, proposal.label, len(seen.suspects))
    facts = {"rows": seen.reading.rows, "problem": problem.kind, "label": proposal.label}
    return JobResult(
        facts={**facts, "time": proposal.delivery.time, "decide": list(proposal.decide)},
        passed=not broken,
        broken=broken,
        page=PAGE,
    )


def write(folder: Path, seen: Profile, proposal: Proposal) -> None:
    """Write what was seen and what is proposed into a folder, for programs and for people."""
    (folder / "profile.json").write_bytes(seen.to_file())
    (folder / "proposal.json").write_bytes(proposal.to_file())
    (folder / PAGE).write_text(page(seen, proposal), "utf-8")
