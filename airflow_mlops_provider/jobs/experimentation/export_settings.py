"""Commits a search's winner to the product's repository: one file, on a branch, for people to review and merge."""

from __future__ import annotations

import os
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Literal, NamedTuple

from airflow_mlops_provider.backends.source.access import Credentials, checked_remote
from airflow_mlops_provider.backends.source.git import HISTORY, GitRemote, known_branch
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import PLAIN, Repository
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.search.winner import Winner
from airflow_mlops_provider.lifecycle.settings import FILE, TrainerSettings, changes, checked_branch, checked_path
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.lifecycle.trainer import Trainer
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import job


class Base(NamedTuple):
    """The branch that production follows, as it is now.

    :param trainer: how it trains; None where it has no settings file that can be read.
    :param reads: its ``product.py`` is made from that file, so that merging another changes something.
    """

    branch: str
    tip: str
    trainer: Trainer | None
    reads: bool


class Delivery(NamedTuple):
    """Where a winner is: committed now, found (an earlier try committed it), or unchanged (the base has it already)."""

    state: Literal["committed", "found", "unchanged"]
    commit: str
    text: str


class Inputs(JobInputs):
    search: Report


class Params(JobParams):
    """:param any_folder: the folder holds no product; whoever trains there reads the file."""

    any_folder: bool = False


class Settings(JobSettings):
    data_scientist: Annotated[str, ProductField("business.owners.data_scientist")]
    ml_engineer: Annotated[str, ProductField("business.owners.ml_engineer")]


Context = JobContext[Inputs, Settings, Params]


@job(stage=Stage.EXPERIMENTATION, makes="export", result=Report, services=("source",), side_effects=True)
def export_settings(context: Context) -> JobResult:
    """Write ``settings.json``, commit it on the study's branch, and open a pull request where the forge has them."""
    search, repository = context.inputs.search, context.spec.services.source
    if repository is None:
        raise ConfigurationError("this job was not given the product's repository; run it by its operator")
    if not search.facts.get("best"):
        context.log.warning("there is nothing to export: the search has no winner")
        return JobResult(facts={"state": "no winner"}, passed=False, broken=("no winner",))
    winner = Winner.of(context.product, search.facts, by=context.by, when=datetime.now(UTC).replace(microsecond=0))
    with tempfile.TemporaryDirectory(prefix="mlops-git-") as folder:
        remote = GitRemote(checked_remote(repository.remote), Path(folder), Credentials.of(os.environ))
        path = checked_path(repository.path)
        base = base_of(remote, repository, path, any_folder=context.params.any_folder)
        delivery = deliver(context, remote, base, f"{path}/{FILE}".lstrip("/"), winner)
    (context.folder / FILE).write_text(delivery.text, "utf-8")
    proposed = delivery.state != "unchanged"
    facts = {
        "state": delivery.state,
        "remote": repository.remote,
        "base": base.branch,
        "branch": winner.branch if proposed else None,
        "commit": delivery.commit,
        "changes": [list(change) for change in changes(base.trainer, winner.settings.trainer())],
        "pull_request": review(context, repository, base, winner) if proposed else None,
        **winner.provenance.model_dump(include={"study", "trial", "metric", "value"}),
    }
    return JobResult(facts=facts, passed=True)


def base_of(remote: GitRemote, repository: Repository, path: str, *, any_folder: bool = False) -> Base:
    """Return the base branch. :raises ConfigurationError: if it does not hold the product, and is to hold one.

    :raises UnknownNameError: if there is no such branch; the message lists those that there are.
    """
    default, branches = remote.branches()
    name = repository.base or default
    if name is None:
        raise ConfigurationError(f"{remote.url} has no default branch; name the base branch in the connection")
    known_branch(checked_branch(name), branches)
    tip = remote.fetch(name)
    declared = remote.show(tip, f"{path}/product.py".lstrip("/"))
    if declared is None and not any_folder:
        raise ConfigurationError(f"{name} of {remote.url} has no product.py in {path!r}; is that the product's folder?")
    try:
        trainer = TrainerSettings.parse(remote.show(tip, f"{path}/{FILE}".lstrip("/")) or "").trainer()
    except ConfigurationError:
        trainer = None  # a file that is not there, is broken, or of another shape, is one that changes
    return Base(branch=name, tip=tip, trainer=trainer, reads=any_folder or "TrainerSettings" in (declared or ""))


def deliver(context: Context, remote: GitRemote, base: Base, file: str, winner: Winner) -> Delivery:
    """Commit the winner's file on its branch, unless it is there or in the base.

    A branch that people went on working on is theirs: a commit is added to it only for another winner.

    :raises ConflictError: if somebody moved the branch meanwhile.
    """
    parent, text = base.tip, winner.settings.text()
    if base.trainer == winner.settings.trainer():
        context.log.info("nothing to change: %s of %s trains with these settings already", base.branch, remote.url)
        return Delivery("unchanged", parent, text)
    if winner.branch in remote.branches()[1]:
        parent = remote.fetch(winner.branch, HISTORY)
        if earlier := remote.find(parent, winner.trailer):
            context.log.info("nothing to commit: %s on %s has it already", earlier[:12], winner.branch)
            return Delivery("found", earlier, remote.show(earlier, file) or text)
    people = context.settings.data_scientist, context.settings.ml_engineer
    commit = remote.commit(parent, file, text, winner.message(base.trainer), *people)
    remote.push(commit, winner.branch)
    context.log.info("committed %s on %s of %s", commit[:12], winner.branch, remote.url)
    return Delivery("committed", commit, text)


def review(context: Context, repository: Repository, base: Base, winner: Winner) -> str | None:
    """Open a pull request, or find the open one, and return its address; None where the remote knows none."""
    if not base.reads:
        context.log.warning("product.py does not read %s yet: merging changes nothing until it does", FILE)
    if repository.forge == PLAIN:
        context.log.info("a plain remote has no pull requests; look at %s and merge it by hand", winner.branch)
        return None
    from airflow_mlops_provider.backends.source.forges.base import pull_request

    texts = {"title": winner.title, "body": winner.body(base.trainer)}
    opened = pull_request(repository, Credentials.of(os.environ), branch=winner.branch, base=base.branch, **texts)
    context.log.info("%s pull request %d: %s", "opened" if opened.new else "found", opened.number, opened.url)
    return opened.url
