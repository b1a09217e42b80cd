"""What kinds of problems have in common in which something is so, label 1, or not, label 0."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from airflow_mlops_provider.exceptions import SourceDataError
from airflow_mlops_provider.problems.base import Problem, Truth
from airflow_mlops_provider.problems.labels import check_differ, check_known, counted

if TYPE_CHECKING:
    import pandas as pd

    from airflow_mlops_provider.lifecycle.sections import Value
    from airflow_mlops_provider.problems.base import Floats

ALLOWED = "a label is 0 or 1, or a truth value, and missing while it is not known"
_NUMBERS = ("integer", "floating", "mixed-integer-float", "boolean", "decimal")


class TwoClasses(Problem):
    """Whether something is so: the label 1 means that it is."""

    label_type = "int64"

    def labels(self, label: pd.Series) -> pd.Series:
        """Return labels as int64, or Int64 where some are not known yet."""
        import numpy as np
        from pandas.api.types import infer_dtype

        values = label.astype(object).where(label.notna(), np.nan) if label.dtype.kind not in "iufb" else label
        known = values[values.notna()]
        if len(known) and (infer_dtype(known) not in _NUMBERS or not known.astype("float64").isin((0.0, 1.0)).all()):
            raise SourceDataError(f"label {label.name!r} holds {counted(known)}; {ALLOWED}: make it so in examples")
        whole = values.astype("float64").astype("Int64")
        return whole if whole.isna().any() else whole.astype("int64")

    def learnable(self, label: pd.Series, rows: str) -> pd.Series:
        """Return labels as int64, of both classes and none missing."""
        labels = self.labels(label)
        check_known(labels, rows)
        check_differ(labels, rows)
        return labels

    def flaw(self, truth: Truth) -> Callable[[Floats], str]:
        positives = truth.label == 1

        def counted(weight: Floats) -> str:
            positive = float(weight[positives].sum())
            negative = float(weight.sum()) - positive
            counts = f"the rows hold {positive:g} positive and {negative:g} negative labels"
            return "" if positive > 0 and negative > 0 else f"{counts}; both kinds are needed to judge by"

        return counted

    def unfit(self, label: Any, min_rows: int = 1) -> str:
        return super().unfit(label, min_rows) or ("" if len(set(label)) == 2 else "labels of one class only")

    @property
    def decides(self) -> bool:
        return True

    @property
    def class_names(self) -> tuple[str, ...]:
        return ("0", "1")

    def outcomes(self, rows: pd.DataFrame, label: str) -> tuple[pd.Series, pd.Series]:
        import pandas as pd

        said = pd.Series(self.decisions(self.scores(rows)), index=rows.index).astype("int64")
        return self.labels(rows[label]).astype(str), said.astype(str)

    def worth_of_alarms(self, value: Value, rows: pd.DataFrame, label: str, alarm: Any) -> dict[str, Any]:
        """Return what alarms were worth, and of how many hits and false alarms that is made.

        :param alarm: for each row, whether there was one.
        """
        truth = self.labels(rows[label]).to_numpy() == 1
        hits = int((alarm & truth).sum())
        false_alarms = int(alarm.sum()) - hits
        return {
            "hits": hits,
            "recall": hits / max(1, int(truth.sum())),
            "false_alarms": false_alarms,
            "amount": hits * (value.per_hit or 0.0) - false_alarms * value.per_false_alarm,
            "currency": value.currency,
        }
