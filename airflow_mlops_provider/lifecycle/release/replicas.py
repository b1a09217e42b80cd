"""What several servers have seen of one candidate, as if they were one: by that it is judged."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from airflow_mlops_provider.lifecycle.release.rollout import Candidate, Observed


def together(seen: Sequence[Candidate | None]) -> Candidate | None:
    """Return what several servers say of one candidate, added up; None if one does not speak of it, or of another."""
    known = [one for one in seen if one]
    if len({(one.version, one.requested_at) for one in known}) != 1 or len(known) < len(seen):
        return None
    since = [one.since for one in known if one.since]
    observed, failure = [one.observed for one in known], next((one.failure for one in known if one.failure), None)
    loaded = max(since) if len(since) == len(known) else None
    return known[0].model_copy(update={"since": loaded, "failure": failure, "observed": added(observed)})


def added(seen: Sequence[Observed]) -> Observed:
    """Return the counts of several processes as one's; of their memory the growth of the one that grew most."""
    if len(seen) == 1:
        return seen[0]

    def counts(field: str) -> dict[int, int]:
        return dict(sum((Counter(getattr(one, field)) for one in seen), Counter[int]()))

    def answers(field: str) -> tuple[int, ...]:
        there = [getattr(one, field) for one in seen if getattr(one, field)]
        return tuple(map(sum, zip(*there, strict=True)))

    return Observed(
        calls=sum(one.calls for one in seen),
        errors=sum(one.errors for one in seen),
        dropped=sum(one.dropped for one in seen),
        missing=counts("missing"),
        live_seconds=counts("live_seconds"),
        seconds=counts("seconds"),
        live_answers=answers("live_answers"),
        answers=answers("answers"),
        memory=max(one.memory for one in seen),
    )
