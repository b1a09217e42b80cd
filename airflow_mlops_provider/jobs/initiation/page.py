"""The report on data that there is no product of yet: what is in it, what is proposed, what is left to decide."""

from __future__ import annotations

import math
from collections.abc import Iterator

from airflow_mlops_provider.lifecycle.expectation import Expectation
from airflow_mlops_provider.lifecycle.initiation.profile import Candidate, ColumnProfile, Grain, Profile
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from airflow_mlops_provider.lifecycle.initiation.propose import DRIFTED
from airflow_mlops_provider.render import distributions
from airflow_mlops_provider.render.formats import number
from airflow_mlops_provider.render.markup import Html, join, tag
from airflow_mlops_provider.render.parts import badge, card, facts, muted, report, table

#: So many columns have a tile, a line in the drawing of gaps, and a name in a list.
MOST_TILES, MOST_GAPS, MOST_NAMED = 120, 30, 12
_FORMS: dict[Grain, str] = {"hour": "%d %b %H:%M", "day": "%d %b", "week": "%d %b", "year": "%Y"}


def page(profile: Profile, proposal: Proposal) -> Html:
    """Return the page."""
    reading = profile.reading
    sampled = "" if reading.sampled == reading.rows else f", of which a sample of {reading.sampled:,} was looked at"
    return report(
        proposal.name.replace("_", " ").capitalize(),
        f"{proposal.goal} This is what {reading.source} says to that: {reading.rows:,} rows{sampled}.",
        facts(_facts(profile, proposal)),
        card("Left to decide", tag("ul", *(tag("li", each) for each in proposal.decide), class_="todo")),
        card("Proposed", table(("", "proposal", "because"), proposed(profile, proposal)), _rejected(proposal)),
        _over_time(profile),
        _leaks(profile),
        card("Columns", _tiles(profile, proposal)),
        _gaps(profile),
        card("Expected of what comes", _expected(proposal)),
        card("Candidates", _others("label", profile.labels), _others("time", profile.times)),
    )


def _facts(profile: Profile, proposal: Proposal) -> dict[str, str]:
    time, label, naive = profile.time, profile.label, profile.naive
    return {
        "rows": f"{profile.reading.rows:,}",
        "columns": f"{len(profile.columns):,}",
        **({"from": f"{time.first:%d %b %Y}", "to": f"{time.last:%d %b %Y}"} if time else {}),
        "problem": _words(proposal.problem.kind),
        **({"label": label.column, "rows with a label": f"{label.known:.1%}"} if label else {}),
        **({f"{_words(naive.metric)} without a model": number(naive.value)} if naive else {}),
        "leakage suspects": str(len(profile.suspects)),
    }


def proposed(profile: Profile, proposal: Proposal) -> Iterator[tuple[str, str, str]]:
    """Yield what is proposed, and why."""
    split, delivery, windows, limits = proposal.split, proposal.delivery, proposal.windows, proposal.limits
    delay = profile.label.delay if profile.label else None
    yield "problem", _words(proposal.problem.kind), proposal.problem.reason
    if proposal.label:
        why = next((each.reasons for each in profile.labels if each.column == proposal.label), ())
        yield "label", proposal.label, "; ".join(why if profile.guessed else ("you said so", *why))
    if delay:
        yield "labels come", f"within {delay.most:.3g} days", delay.evidence
    if profile.time:
        yield "time", profile.time.column, "; ".join(profile.times[0].reasons)
    if proposal.keys:
        yield "entities", ", ".join(proposal.keys), "they tell apart whose rows these are"
    yield "judged on", f"{split.share:.0%} of the rows, by {split.kind}", split.reason
    yield "metric", _words(limits.metric), limits.reason
    yield "drift limit", f"{limits.drift_share:.0%} of the inputs", limits.drift_reason
    yield "schedule", f"each {delivery.grain} ({delivery.schedule.cron})", delivery.reason
    wait = f"; the newest {windows.wait} wait for their labels" if windows.wait else ""
    spans = f"learn from {windows.train}, judge on {windows.evaluate}"
    yield "windows", spans, f"of {delivery.intervals:,} intervals{wait}"
    out = f"{len(proposal.left_out)} columns are left out, each with its reason"
    out += "; and the label's own past" if proposal.problem.kind == "forecasting" else ""
    yield "inputs", _listed(proposal.inputs), out


def _rejected(proposal: Proposal) -> Html:
    rows = [(_words(kind), why) for kind, why in proposal.problem.rejected.items()]
    return tag("details", tag("summary", "Why it is none of the other kinds of problem"), table(("", ""), rows))


def _over_time(profile: Profile) -> Html | None:
    if profile.time is None:
        return None
    shown, label = profile.time.periods, profile.label
    if label is None:
        drawing = distributions.over_time(_periods(profile), shown.rows)
        return card(f"Rows, each {shown.grain}", drawing)
    of = f"share of {label.counted} in {label.column}" if label.counted else f"mean of {label.column}"
    line = label.known_by_period, label.mean_by_period, of
    return card(f"Rows and labels, each {shown.grain}", distributions.over_time(_periods(profile), shown.rows, *line))


def _periods(profile: Profile) -> list[str]:
    assert profile.time is not None
    shown = profile.time.periods
    return [f"{start:{_FORMS.get(shown.grain, '%b %Y')}}" for start in shown.starts]


def _leaks(profile: Profile) -> Html:
    if not profile.suspects:
        return card("What may give the label away", muted("No column knows the label too well, or too late."))
    rows = [
        (each.column, badge("failed" if each.proven else "attention", each.pattern), each.evidence, each.advice)
        for each in profile.suspects
    ]
    return card("What may give the label away", table(("column", "pattern", "evidence", "do"), rows))


def _tiles(profile: Profile, proposal: Proposal) -> Html:
    out = {each.column: each.reason for each in proposal.left_out}
    tiles = (_tile(column, profile, out.get(column.name, "")) for column in profile.columns[:MOST_TILES])
    more = len(profile.columns) - MOST_TILES
    rest = muted(f"and {more:,} more columns, in profile.json") if more > 0 else None
    return join((tag("div", *tiles, class_="tiles"), rest))


def _tile(column: ColumnProfile, profile: Profile, out: str) -> Html:
    moved = badge("attention", "drifted", f"index {column.drift:.2f}") if (column.drift or 0) >= DRIFTED else None
    line = [column.type if not column.written else f"{column.type}, written {column.written}"]
    line += [f"{column.distinct:,} values", f"{column.missing:.1%} missing" if column.missing else "none missing"]
    line += [f"mean {number(column.mean)}"] if column.mean is not None else []
    notes = (tag("p", each) for each in (out, *column.warnings) if each)
    drawing = _drawing(column, profile.reading.sampled)
    parts = (moved, tag("b", column.name), tag("p", " · ".join(line)), drawing, *notes)
    return tag("div", *parts, class_="tile out" if out else "tile")


def _drawing(column: ColumnProfile, rows: int) -> Html | None:
    if column.frequent and (column.distinct <= 2 or not column.bars):
        return distributions.frequent(column.frequent, rows)
    if not column.bars or not column.edges:
        return None
    low, high = map(number, (math.ceil(column.edges[0]), int(column.edges[1])) if column.whole else column.edges)
    if column.span:
        low, high = (f"{moment:%Y-%m-%d}" for moment in column.span)
    return distributions.histogram(column.bars, low, high)


def _gaps(profile: Profile) -> Html | None:
    gaps = [column for column in profile.columns if column.missing_by_period][:MOST_GAPS]
    if not gaps or profile.time is None:
        return None
    shares = [column.missing_by_period for column in gaps]
    return card("Missing over time", distributions.heat([each.name for each in gaps], _periods(profile), shares))


def _expected(proposal: Proposal) -> Html:
    rows = [
        (str(each.kwargs.get("column", "the table")), _words(each.type.removeprefix("expect_")), _limits(each))
        for each in proposal.expectations
    ]
    summary = tag("summary", f"{len(rows)} expectations, with room for what did not happen yet")
    return tag("details", summary, table(("of", "expected", "limits"), rows))


def _limits(expected: Expectation) -> str:
    given = ((_words(name), value) for name, value in expected.kwargs.items() if name != "column")
    return ", ".join(f"{name} {', '.join(value) if isinstance(value, list) else value}" for name, value in given)


def _others(what: str, candidates: tuple[Candidate, ...]) -> Html | None:
    if not candidates:
        return None
    rows = [(each.column, f"{each.points:.1f}", "; ".join(each.reasons)) for each in candidates[:MOST_NAMED]]
    return tag("details", tag("summary", f"What may be the {what}"), table(("column", "#points", "reasons"), rows))


def _words(name: str) -> str:
    return name.replace("_", " ")


def _listed(names: tuple[str, ...]) -> str:
    more = f" and {len(names) - MOST_NAMED} more" if len(names) > MOST_NAMED else ""
    return (", ".join(names[:MOST_NAMED]) or "none") + more
