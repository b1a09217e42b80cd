"""Judges a challenger against the champion and a naive baseline, on the same later window."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Annotated, Any

import numpy as np
import pandas as pd

from airflow_mlops_provider import problems
from airflow_mlops_provider.jobs.evaluation import new_process
from airflow_mlops_provider.jobs.tables import EVALUATE, REFERENCE, TRAIN
from airflow_mlops_provider.jobs.truth import judged
from airflow_mlops_provider.lifecycle.figures import Figure, Figures
from airflow_mlops_provider.lifecycle.problem import Metric
from airflow_mlops_provider.lifecycle.references import Dataset, Model, ModelVersion, Report
from airflow_mlops_provider.lifecycle.release.declared import MEASURED, Gates
from airflow_mlops_provider.lifecycle.release.evaluation import Compared, Cost, Evaluation, Gap, LeftOut, Worth
from airflow_mlops_provider.lifecycle.release.gates import GateResult, judge, short_of_baseline
from airflow_mlops_provider.lifecycle.sections import Value
from airflow_mlops_provider.lifecycle.shape import Scoring, Target
from airflow_mlops_provider.lifecycle.source import Column
from airflow_mlops_provider.lifecycle.stages import Stage
from airflow_mlops_provider.problems import statistics
from airflow_mlops_provider.problems.base import Truth
from airflow_mlops_provider.render.charts import estimates
from airflow_mlops_provider.render.figures import cards
from airflow_mlops_provider.render.markup import Html
from airflow_mlops_provider.render.parts import card, muted, report, table
from airflow_mlops_provider.render.verdicts import gates
from airflow_mlops_provider.runtime.arguments import JobInputs, JobParams, JobSettings, ProductField
from airflow_mlops_provider.runtime.context import JobContext, JobResult
from airflow_mlops_provider.runtime.definition import TABLES, job
from airflow_mlops_provider.scoring.inputs import model_inputs, truth_of, truths
from airflow_mlops_provider.scoring.predictor import Predictor, load_model, one_by_one

PAGE = "evaluation.html"
_GATES = (
    "As they were when this was evaluated. What decides is the promotion, in the ledger: it looks at data, latency and "
    "memory as well, and at who waived what."
)
MOST_NAMED = 20


class Inputs(JobInputs):
    model: Model
    training_set: Dataset
    champion: ModelVersion | None = None


class Settings(JobSettings):
    scoring: Scoring | Target
    seed: Annotated[int, ProductField("training.trainer.seed")] = 13
    metric: Annotated[Metric, ProductField("metric")]
    baseline: Annotated[Column | None, ProductField("evaluation.baseline")] = None
    slices: Annotated[tuple[Column, ...], ProductField("evaluation.slices")] = ()
    gates: Annotated[Gates, ProductField("evaluation.gates")] = Gates()
    value: Annotated[Value | None, ProductField("business.value")] = None


Context = JobContext[Inputs, Settings, JobParams]


@job(stage=Stage.EVALUATION, makes="evaluation", result=Report, packages=("numpy", *TABLES), uses=(), predicts=True)
def evaluate(context: Context) -> JobResult:
    """Write ``evaluation.json``, ``figures.json`` and a page; it passes if the challenger clears the baseline.

    What a clock says of the model is in the record alone: the same work has to leave the same bytes.
    """
    metric, champion = context.settings.metric, context.inputs.champion
    scoring, rows = context.settings.scoring, context.read(context.inputs.training_set, EVALUATE)
    problem = problems.find(scoring.problem)
    window, learned = judged(problem, rows, str(truths(scoring, rows).name)), learned_from(context)
    scored = scores(context, window, learned, champion)
    truth = truth_of(scoring, problem, window, learned)
    shown = figures(context, truth, scored["challenger"])
    loaded, cost = alone(context) if context.settings.gates.needs_process else (None, None)
    found = {"loaded": loaded, "skew": skew(context, window)}
    evaluation = compare(context, window, truth, scored, champion).model_copy(update=found)
    (context.folder / "evaluation.json").write_text(evaluation.model_dump_json(indent=1))
    (context.folder / "figures.json").write_bytes(Figures(figures=shown).to_file())
    results = judge(evaluation, context.settings.gates, metric).results
    (context.folder / PAGE).write_text(evaluation_page(context.product, evaluation, shown, results), "utf-8")
    for name, estimate in evaluation.contenders.items():
        context.log.info("%s of %s: %s", metric.name, name, estimate)
    short, without = short_of_baseline(evaluation, metric), len(rows) - len(window)
    if without:
        context.log.info("%d of %d rows have no label, and are not judged on", without, len(rows))
    return JobResult(
        facts={
            "evaluation": evaluation.to_json(),
            "model": context.inputs.model.hash,
            **({"without_label": without} if without else {}),
        },
        metrics={
            **{f"{name}_{metric.name}": estimate.value for name, estimate in evaluation.contenders.items()},
            **(cost.model_dump() if cost else {}),
        },
        passed=short is None,
        broken=(short,) if short else (),
        page=PAGE,
        seed=context.settings.seed,
    )


def scores(
    context: Context, window: pd.DataFrame, learned: pd.DataFrame, champion: ModelVersion | None
) -> dict[str, np.ndarray]:
    """Return every contender's score for each row of the window."""
    scoring = context.settings.scoring
    # Of a table as it is each takes its inputs by name: the champion perhaps others than the challenger.
    inputs = window if isinstance(scoring, Target) else model_inputs(scoring, window)
    problem, label = problems.find(scoring.problem), str(truths(scoring, window).name)

    def score(model: Model | ModelVersion) -> np.ndarray:
        return problem.checked(load_model(context.open(model), model).predict(inputs))

    naive = problem.baseline(learned, window, label, context.settings.baseline)
    compared = {"challenger": score(context.inputs.model), "baseline": naive}
    return {**compared, "champion": score(champion)} if champion else compared


def learned_from(context: Context) -> pd.DataFrame:
    """Return the rows that the model learned from: of a table by itself, which has no such part, its training's."""
    training_set = context.inputs.training_set
    if isinstance(context.settings.scoring, Target):
        given = context.records.manifest_of(context.inputs.model).spec.inputs["training_set"]
        assert isinstance(given, Dataset)
        training_set = given
    return context.read(training_set, TRAIN)


def compare(
    context: Context, window: pd.DataFrame, truth: Truth, scored: dict[str, np.ndarray], champion: ModelVersion | None
) -> Evaluation:
    """Return the metric of each contender with its interval, the paired gain, and the challenger's slices."""
    settings, problem = context.settings, problems.find(context.settings.scoring.problem)
    metric, seed = settings.metric, settings.seed
    score = scored["challenger"]
    slices, gaps, left_out = sliced(settings, window, truth, score)
    return Evaluation(
        metric=metric.name,
        window=", ".join(context.inputs.training_set.facts.get("evaluate", ())) or context.inputs.training_set.uri,
        rows=len(window),
        **statistics.bootstrap(problem, metric, truth, scored, seed),
        champion_version=champion.version if champion else None,
        gain=statistics.gain(problem, metric, truth, score, scored["champion"], seed) if champion else None,
        worth=worth(settings, window, scored),
        slices=slices,
        gaps=gaps,
        calibration=problem.calibration(truth, score) if problem.calibrates else None,
        left_out=(*unjudged(settings, window), *left_out),
    )


def worth(settings: Settings, window: pd.DataFrame, scored: dict[str, np.ndarray]) -> Worth | None:
    """Return what each contender would have brought on the window; None where no value is declared of it."""
    if (value := settings.value) is None:
        return None
    problem, label = problems.find(settings.scoring.problem), str(truths(settings.scoring, window).name)
    realised = {
        name: problem.realised_value(value, window.assign(**problem.columns(score)), label)
        for name, score in scored.items()
    }
    amounts = {name: float(figures["amount"]) for name, figures in realised.items() if figures}
    return Worth(currency=value.currency, amounts=amounts) if amounts else None


def sliced(
    settings: Settings, window: pd.DataFrame, truth: Truth, score: np.ndarray
) -> tuple[dict[str, dict[str, Any]], dict[str, Gap], list[LeftOut]]:
    """Return the figures of each slice, how far those of a column lie apart, and what the slices leave out."""
    problem, metric, least = problems.find(settings.scoring.problem), settings.metric, settings.gates.slice_rows
    slices, gaps, left_out = dict[str, dict[str, Any]](), dict[str, Gap](), list[LeftOut]()
    for column in dict.fromkeys((*problem.slices, *settings.slices)):
        judged, rest = statistics.by_slice(problem, metric, window[column], truth, score, least)
        gaps[column] = statistics.gap(problem, window[column], truth, score, least, judged)
        slices |= {f"{column}={value}": figures for value, figures in judged.items()}
        left_out += [named(column, why, values) for why, values in rest.items()]
    return slices, gaps, left_out


def unjudged(settings: Settings, window: pd.DataFrame) -> list[LeftOut]:
    """Return what the problem itself leaves out, such as queries without anything relevant."""
    problem, label = problems.find(settings.scoring.problem), str(truths(settings.scoring, window).name)
    parts = problem.unjudged(window, label)
    return [named(str(of.name), why, of.astype(str).value_counts().to_dict()) for why, of in parts.items()]


def named(column: str, why: str, values: dict[str, int]) -> LeftOut:
    """Return what is left out of a column, by the rows of each value; of many values the largest are named."""
    largest = dict(list(values.items())[:MOST_NAMED])
    return LeftOut(column=column, why=why, count=len(values), rows=sum(values.values()), largest=largest)


def figures(context: Context, truth: Truth, score: np.ndarray) -> tuple[Figure, ...]:
    """Return what the kind of problem shows of the challenger."""
    return problems.find(context.settings.scoring.problem).figures(truth, score)


def skew(context: Context, window: pd.DataFrame) -> Compared | None:
    """Return whether single rows are predicted as all together; None of a table as it is, of which nothing is made."""
    scoring = context.settings.scoring
    if isinstance(scoring, Target):
        return None
    return one_by_one(Predictor(scoring, load_model(context.open(context.inputs.model), context.inputs.model)), window)


def alone(context: Context) -> tuple[Compared, Cost | None]:
    """Return whether the model predicts in a new process what was kept with it, and what it took there."""
    folder, problem = context.open(context.inputs.model), problems.find(context.settings.scoring.problem)
    return new_process.predicted_again(folder, context.read(context.inputs.model, REFERENCE), problem)


def evaluation_page(
    product: str, evaluation: Evaluation, shown: Iterable[Figure] = (), results: Sequence[GateResult] = ()
) -> Html:
    """Return the page of one evaluation."""
    gain = muted(f"Gain over champion v{evaluation.champion_version}: {evaluation.gain}") if evaluation.gain else None
    brought = f"On these examples they would have brought: {evaluation.worth}." if evaluation.worth else None
    parts = [(name, int(part["rows"]), part["value"]) for name, part in evaluation.slices.items()]
    slices = table(("slice", "#rows", f"#{evaluation.metric}"), parts)
    return report(
        f"{product}: evaluation",
        f"{evaluation.metric} on {evaluation.rows:,} examples of {evaluation.window}, with 95 % bootstrap intervals",
        card("Compared", estimates(evaluation.contenders), gain, brought and muted(brought)),
        card("Gates", gates([result for result in results if result.name not in MEASURED]), muted(_GATES))
        if results
        else None,
        cards(shown),
        card("Slices", slices, *(muted(f"Not judged: {skipped}") for skipped in evaluation.left_out)),
    )
