"""The table of what each gate said of a version, for reports and pages."""

from __future__ import annotations

from collections.abc import Iterable

from airflow_mlops_provider.lifecycle.release.gates import GateResult
from airflow_mlops_provider.render.markup import Html
from airflow_mlops_provider.render.parts import badge, table

#: Which of the badges shows how a gate went.
_BADGES = {"passed": "held", "failed": "failed", "waived": "crossed"}


def gates(results: Iterable[GateResult]) -> Html:
    """Return what each gate said of a version, with figure and limit."""
    rows = (
        (
            result.name,
            result.figure,
            result.limit,
            badge(_BADGES.get(result.outcome, ""), result.outcome),
            result.reason,
        )
        for result in results
    )
    return table(("gate", "#figure", "#limit", "result", "because"), rows)
