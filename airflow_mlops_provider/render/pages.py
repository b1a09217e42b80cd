"""The pages that people look at: self-contained HTML, no script, nothing loaded from elsewhere."""

from __future__ import annotations

from collections.abc import Iterable
from html import escape
from typing import Any

from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.release.gates import Estimate, Evaluation

STYLE = """
body{font:15px/1.5 system-ui,sans-serif;color:#1c2733;max-width:60rem;margin:2rem auto;padding:0 1rem}
h1{font-size:1.4rem;margin-bottom:.2rem} h2{font-size:1.1rem;margin-top:2rem} p.sub{color:#5b6b7a;margin-top:0}
table{border-collapse:collapse;width:100%} th,td{text-align:left;padding:.35rem .8rem;border-bottom:1px solid #e3e8ee}
td.n,th.n{text-align:right;font-variant-numeric:tabular-nums} svg text{font:13px system-ui,sans-serif;fill:#1c2733}
"""
COLOURS = {"challenger": "#0b6e99", "champion": "#7a5195", "baseline": "#98a4b0", "live": "#0b6e99"}


def page(title: str, subtitle: str, *parts: str) -> str:
    """Return a whole HTML page."""
    body = "\n".join(parts)
    return (
        f"<!doctype html><html lang='en'><head><meta charset='utf-8'><title>{escape(title)}</title>"
        f"<style>{STYLE}</style></head><body><h1>{escape(title)}</h1><p class='sub'>{escape(subtitle)}</p>{body}"
        "</body></html>"
    )


def table(head: Iterable[str], rows: Iterable[Iterable[Any]]) -> str:
    """Return an HTML table; numbers are set right."""

    def cell(value: Any) -> str:
        if isinstance(value, float):
            return f"<td class='n'>{value:.4f}</td>"
        return f"<td class='n'>{value:,}</td>" if isinstance(value, int) else f"<td>{escape(str(value))}</td>"

    header = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(f"<tr>{''.join(cell(value) for value in row)}</tr>" for row in rows)
    return f"<table><thead><tr>{header}</tr></thead><tbody>{body}</tbody></table>"


def intervals(estimates: dict[str, Estimate]) -> str:
    """Return a drawing of some estimates: a dot for each value, a bar for its 95 % interval, on one scale."""
    low = min(estimate.low for estimate in estimates.values())
    high = max(estimate.high for estimate in estimates.values())
    low, high = low - 0.05 * (high - low or 1), high + 0.05 * (high - low or 1)

    def x(value: float) -> float:
        return 130 + 420 * (value - low) / (high - low)

    drawing = []
    for row, (name, found) in enumerate(estimates.items()):
        y, colour = 24 + 34 * row, COLOURS.get(name, "#1c2733")
        drawing.append(
            f"<text x='0' y='{y + 4}'>{escape(name)}</text>"
            f"<line x1='{x(found.low):.1f}' x2='{x(found.high):.1f}' y1='{y}' y2='{y}' stroke='{colour}'"
            f" stroke-width='6' stroke-opacity='.4'/><circle cx='{x(found.value):.1f}' cy='{y}' r='6' fill='{colour}'/>"
            f"<text x='570' y='{y + 4}'>{escape(str(found))}</text>"
        )
    height = 34 * len(estimates) + 12
    return f"<svg width='100%' viewBox='0 0 800 {height}' role='img'>{''.join(drawing)}</svg>"


def evaluation_page(product: MLProduct, evaluation: Evaluation) -> str:
    """Return the page of one evaluation."""
    gain = f"<p>Gain over champion v{evaluation.champion_version}: {evaluation.gain}</p>" if evaluation.gain else ""
    slices = [(name, int(found["rows"]), found["value"]) for name, found in evaluation.slices.items()]
    return page(
        f"{product.name}: evaluation",
        f"{evaluation.metric} on {evaluation.rows:,} examples of {evaluation.window}, with 95 % bootstrap intervals",
        intervals(evaluation.contenders),
        gain,
        "<h2>Slices</h2>",
        table(("slice", "rows", evaluation.metric), slices),
        *(f"<p>Not judged: {escape(str(one))}</p>" for one in evaluation.left_out),
    )


def performance_page(product: MLProduct, window: str, figures: dict[str, Any]) -> str:
    """Return the page of the live model's performance in one data interval."""
    metric, value = figures["metric"], figures["value"]
    drawing = intervals({"live": Estimate(**metric)}) if metric else "<p>Too few labels have arrived.</p>"
    return page(
        f"{product.name}: performance",
        f"{product.metric} on {figures['arrived']:,} labels that arrived in {window}; {figures['pending']:,} still out",
        drawing,
        *(_value_table(value) if value else ()),
    )


def _value_table(value: dict[str, Any]) -> Iterable[str]:
    counts = {name.replace("_", " "): found for name, found in value.items() if isinstance(found, int)}
    head = (*counts, f"realised value, {value['currency']}")
    return "<h2>Value</h2>", table(head, [(*counts.values(), f"{value['amount']:,.0f}")])
