"""What is made of predictions: the callers' answers, the log's records, and the metrics' counts."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import accumulate
from typing import NamedTuple

from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.scoring.predictor import Predictions, Predictor
from airflow_mlops_provider.serving.metrics import Metrics
from airflow_mlops_provider.serving.prediction_log import Batch, PredictionLog
from airflow_mlops_provider.serving.request_queue import Answer, Call
from airflow_mlops_provider.serving.request_schema import Row
from airflow_mlops_provider.serving.responses import Said

_BYTES = 8  # of a model input that waits to be written


class Calls(NamedTuple):
    """Some calls, with how many rows each has, all their rows, and what the model gets for them."""

    calls: Sequence[Call]
    sizes: Sequence[int]
    rows: Sequence[Row]
    inputs: Columns

    @property
    def parts(self) -> list[slice]:
        """Which rows are those of each call."""
        return [slice(end - size, end) for end, size in zip(accumulate(self.sizes), self.sizes, strict=True)]

    def only(self, chosen: Sequence[int]) -> Calls:
        """Return some of the calls by themselves."""
        if len(chosen) == len(self.calls):
            return self
        every = self.parts
        places = [place for number in chosen for place in range(every[number].start, every[number].stop)]
        rows, inputs = [self.rows[place] for place in places], self.inputs.at(places)
        return Calls([self.calls[number] for number in chosen], [self.sizes[number] for number in chosen], rows, inputs)


class Answers:
    """Makes answers of predictions, and keeps what was said."""

    def __init__(self, product: str, log: PredictionLog, metrics: Metrics) -> None:
        self._product, self._log, self._metrics = product, log, metrics

    def of(self, predictor: Predictor, version: int, calls: Calls, scores: Predictions) -> list[Answer]:
        """Return what each call is answered."""
        answers = predictor.problem.answers
        return [
            call.form.answer(Said(self._product, version, call.request_id, answers(scores[part])))
            for call, part in zip(calls.calls, calls.parts, strict=True)
        ]

    def keep(
        self, predictor: Predictor, version: int, calls: Calls, scores: Predictions, *, shadow: bool = False
    ) -> None:
        """Record what calls were answered. :param shadow: they weren't: it is kept to compare two versions."""
        now, inputs, batches = datetime.now(UTC), calls.inputs.plain(), []
        if not shadow:
            self._metrics.predicted(predictor.problem.headline(scores))
        for call, part in zip(calls.calls, calls.parts, strict=True):
            own, size = scores[part].tolist(), len(call.body) + _BYTES * (part.stop - part.start) * len(calls.inputs)
            said = (own, version, call.request_id, now, size, call.caller, shadow)
            batches.append(Batch(calls.rows[part], inputs[part], *said))
        self._log.append(*batches)

    def settle(self) -> None:
        """Wait until what is kept outlives this process: an answer leaves only then."""
        self._log.settle()
