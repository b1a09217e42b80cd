"""What a person must still decide: each thing that was guessed, and each that the data do not tell."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mlops_provider.lifecycle.initiation.profile import Profile
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal


def decisions(profile: Profile, proposal: Proposal, *, kpi_given: bool) -> Iterator[str]:
    """Yield a sentence for each of them, the weightiest first."""
    yield from _on_leaks(profile)
    yield from _on_label(profile, proposal)
    yield from _on_time(profile, proposal)
    others = [name for name in proposal.inputs if name not in proposal.keys]
    if proposal.problem.kind == "forecasting" and others:
        more = " and more" if len(others) > 3 else ""
        yield f"{', '.join(others[:3])}{more}: only their past is known, or are they planned ahead?"
    persons = [column.name for column in profile.columns if column.personal]
    if persons:
        yield f"{', '.join(persons)} may name persons: they are no inputs; may they be kept at all?"
    for column in profile.columns:
        yield from (f"{column.name}: {warning}" for warning in column.warnings)
    if not kpi_given:
        side = "up to" if proposal.limits.metric.endswith("error") else "from"
        yield f"{proposal.kpi.name} {side} {proposal.kpi.target:g} is a guess: which number does the business look at?"
    if profile.duplicates > 0.01:
        yield f"{profile.duplicates:.1%} of the rows are the same as another: are they delivered twice?"
    for name, why in profile.reading.left_out.items():
        yield f"{name} is not looked at: {why}"


def _on_leaks(profile: Profile) -> Iterator[str]:
    for suspect in profile.suspects:
        if suspect.proven:
            yield f"{suspect.column} is no input: {suspect.evidence}. Is it known when a prediction is wanted?"
        else:
            yield f"{suspect.column} is an input, though {suspect.evidence}: is it known when a prediction is wanted?"


def _on_label(profile: Profile, proposal: Proposal) -> Iterator[str]:
    others = [each.column for each in profile.labels if each.column != proposal.label][:3]
    if proposal.label is None:
        yield "nothing is labelled: who will say which anomalies are real?"
        return
    if others and profile.guessed:
        yield f"{proposal.label} is taken for the label; it may also be {', '.join(others)}"
    if profile.label and profile.label.known < 1 and profile.label.delay is None:
        yield f"{1 - profile.label.known:.1%} of the rows have no label, at any age: will they ever have one?"
    if profile.time and profile.label and profile.label.delay is None and proposal.problem.kind != "forecasting":
        yield f"nothing says how late {proposal.label} becomes known: is it there as soon as its row is?"


def _on_time(profile: Profile, proposal: Proposal) -> Iterator[str]:
    delivery = proposal.delivery
    if delivery.by == "file":
        yield "no column says when a row happened: without one nobody sees drift, nor predicts the future"
        return
    if delivery.zone:
        yield f"{delivery.time} names no time zone: {delivery.zone} is assumed"
    if delivery.time_parts:
        yield f"the time is spread over {', '.join(delivery.time_parts)}: put it together where data is delivered"
    start, first = delivery.schedule.start, profile.time.first if profile.time else None
    if start and first and first < start:
        yield f"rows before {start:%Y-%m-%d} are left out, as each interval is a run: is it worth more of them?"
    best = [each for each in profile.times if each.points >= profile.times[0].points - 1]
    if len(best) > 1:
        yield f"{delivery.time} is taken for the time of a row; it may also be {best[1].column}"
