"""The pages of reports on a model: its evaluation, and how it does in production."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from airflow_mlops_provider.lifecycle.release.gates import Estimate, Evaluation
from airflow_mlops_provider.render.charts import estimates
from airflow_mlops_provider.render.markup import Html
from airflow_mlops_provider.render.parts import card, muted, report, table


def evaluation_page(product: str, evaluation: Evaluation) -> Html:
    """Return the page of one evaluation."""
    contenders = {name: getattr(evaluation, name) for name in ("challenger", "champion", "baseline")}
    gain = muted(f"Gain over champion v{evaluation.champion_version}: {evaluation.gain}") if evaluation.gain else None
    parts = [(name, int(part["rows"]), part["value"]) for name, part in evaluation.slices.items()]
    slices = table(("slice", "#rows", f"#{evaluation.metric}"), parts)
    return report(
        f"{product}: evaluation",
        f"{evaluation.metric} on {evaluation.rows:,} examples of {evaluation.window}, with 95 % bootstrap intervals",
        card("Compared", estimates({name: value for name, value in contenders.items() if value}), gain),
        card("Slices", slices, *(muted(f"Not judged: {left_out}") for left_out in evaluation.left_out)),
    )


def performance_page(product: str, metric: str, window: str, figures: Mapping[str, Any]) -> Html:
    """Return the page of the live model's performance in one data interval.

    :param figures: what the job's report says: ``metric`` ``arrived`` ``pending`` ``value``.
    """
    estimate, value = figures["metric"], figures["value"]
    counts = f"{figures['arrived']:,} labels that arrived in {window}; {figures['pending']:,} still to come"
    chart = estimates({"live": Estimate(**estimate)}) if estimate else muted("Too few labels have arrived.")
    head = ("#right alarms", "#false alarms", f"#realised value, {value['currency']}")
    worth = table(head, [(value["hits"], value["false_alarms"], f"{value['amount']:,.0f}")])
    return report(f"{product}: performance", f"{metric} on {counts}", card("Performance", chart), card("Value", worth))
