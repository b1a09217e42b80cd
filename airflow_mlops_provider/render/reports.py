"""The pages of reports on a model: its evaluation, and how it does in production."""

from __future__ import annotations

from typing import TypedDict

from airflow_mlops_provider.lifecycle.release.gates import Estimate, Evaluation
from airflow_mlops_provider.render.charts import estimates
from airflow_mlops_provider.render.markup import Html
from airflow_mlops_provider.render.parts import card, muted, report, table


class Value(TypedDict):
    """What a model's alarms were worth."""

    hits: int
    false_alarms: int
    amount: float
    currency: str


def evaluation_page(product: str, evaluation: Evaluation) -> Html:
    """Return the page of one evaluation."""
    contenders = {name: getattr(evaluation, name) for name in ("challenger", "champion", "baseline")}
    gain = muted(f"Gain over champion v{evaluation.champion_version}: {evaluation.gain}") if evaluation.gain else None
    slices = [(name, int(part["rows"]), part["value"]) for name, part in evaluation.slices.items()]
    return report(
        f"{product}: evaluation",
        f"{evaluation.metric} on {evaluation.rows:,} examples of {evaluation.window}, with 95 % bootstrap intervals",
        card("Compared", estimates({name: value for name, value in contenders.items() if value}), gain),
        card(
            "Slices",
            table(("slice", "#rows", f"#{evaluation.metric}"), slices),
            *(muted(f"Not judged: {left_out}") for left_out in evaluation.left_out),
        ),
    )


def performance_page(
    product: str, metric: str, window: str, estimate: Estimate | None, arrived: int, pending: int, value: Value
) -> Html:
    """Return the page of the live model's performance in one data interval.

    :param arrived: labels that are known; ``pending``, those that are still to come.
    """
    amount = f"{value['amount']:,.0f}"
    return report(
        f"{product}: performance",
        f"{metric} on {arrived:,} labels that arrived in {window}; {pending:,} still to come",
        card("Performance", estimates({"live": estimate}) if estimate else muted("Too few labels have arrived.")),
        card(
            "Value",
            table(
                ("#right alarms", "#false alarms", f"#realised value, {value['currency']}"),
                [(value["hits"], value["false_alarms"], amount)],
            ),
        ),
    )
