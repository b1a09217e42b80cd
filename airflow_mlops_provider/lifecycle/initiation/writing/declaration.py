"""``product.py``: the declaration, each guess with a word on where it comes from."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

from airflow_mlops_provider.lifecycle.initiation.delivery import DAYS
from airflow_mlops_provider.lifecycle.initiation.proposal import LeftOut
from airflow_mlops_provider.lifecycle.initiation.writing.declared import HORIZONS, Declared
from airflow_mlops_provider.lifecycle.initiation.writing.python import (
    block,
    call,
    comment,
    imports,
    long_string,
    mapping,
    short,
    string,
    strings,
)

#: What may be imported from the package.
NAMES = (
    *("AnomalyDetection", "Business", "Csv", "Data", "EvaluationSettings", "Features", "Forecasting", "Kpi", "Label"),
    *("MLProduct", "Monitoring", "MulticlassClassification", "MultilabelClassification", "Owners", "Ranking"),
    *("Regression", "Schedule", "Serving", "Source", "Trainer", "Training", "View", "Windows"),
)
_PACKAGE = "airflow_mlops_provider"
#: Libraries in whose format models are kept, where that is not LightGBM.
SCIKIT_LEARN = ("anomaly_detection", "multilabel_classification")
MOST_REASON = 160


def declaration(declared: Declared, *, decide: bool, url: bool = False, port: int | None = None) -> str:
    """Return the module.

    :param decide: whether nobody has agreed to the guesses yet. :param url: whether the data came of a database.
    :param port: the model server's, where the usual one is another product's.
    """
    made = _product(declared, decide=decide, url=url, port=port)
    times = [name for name in ("UTC", "datetime", "timedelta") if f"{name}(" in made or f"={name})" in made]
    lines = (
        '"""The declaration: every line of it may be changed; `airflow mlops show` says what else there is."""',
        "",
        *((f"from datetime import {', '.join(times)}", "") if times else ()),
        imports(_PACKAGE, made, NAMES),
        "",
        made,
        "",
    )
    return "\n".join(lines)


def _product(declared: Declared, *, decide: bool, url: bool, port: int | None) -> str:
    proposal = declared.proposal
    parts = (
        f"name={string(proposal.name)}",
        f"goal={long_string(proposal.goal)}",
        comment(f"{proposal.problem.reason[:MOST_REASON]}."),
        f"problem={_problem(declared)}",
        *_business(declared, decide=decide),
        *_schedule(declared),
        f"data={_data(declared, url=url)}",
        *_features(declared),
        *_label(declared),
        f"training={_training(declared)}",
        *_evaluation(declared),
        *((f"serving=Serving(port={port})",) if port else ()),
        *_monitoring(declared),
    )
    return f"product = {call('MLProduct', *parts)}"


def _problem(declared: Declared) -> str:
    proposal = declared.proposal
    if proposal.problem.kind == "multiclass_classification":
        return short("MulticlassClassification", classes=strings(proposal.classes))
    if proposal.problem.kind == "multilabel_classification":
        mark = string(proposal.separator or "|")
        return short("MultilabelClassification", labels=strings(proposal.classes), separator=mark)
    if declared.is_forecast:
        horizon = HORIZONS[declared.step]
        season = {"season": _span(horizon * declared.season)} if declared.season > 1 else {}
        return short("Forecasting", horizon=_span(horizon), series=string(declared.series), **season)
    if proposal.problem.kind in ("regression", "forecasting"):
        return 'Regression(loss="absolute")'
    if proposal.problem.kind == "ranking":
        return short("Ranking", group=string(proposal.problem.query or ""))
    return "AnomalyDetection()" if proposal.problem.kind == "anomaly_detection" else '"binary_classification"'


def _business(declared: Declared, *, decide: bool) -> Iterator[str]:
    kpi, owner = declared.proposal.kpi, declared.proposal.owner
    if decide:
        yield "# decide: by which number is it judged, from where on is it a success, and who answers for it?"
    numbers = {"name": string(kpi.name), "target": f"{kpi.target!r}", "unit": string(kpi.unit)}
    kpi_line = f"kpi={short('Kpi', **numbers)}"
    owners = f"owners=Owners(**dict.fromkeys(Owners.model_fields, {string(owner)}))"
    yield f"business={call('Business', kpi_line, owners)}"


def _schedule(declared: Declared) -> Iterator[str]:
    schedule, delivery = declared.proposal.delivery.schedule, declared.proposal.delivery
    yield comment(f"{delivery.reason}.")
    if schedule.end and delivery.by == "file":
        yield comment("The days are made up. Once deliveries go on: no `end`, and `start` on the first day of them.")
    elif schedule.end:
        yield comment("The history ends there. Take `end` away once deliveries go on.")
    ends = {"end": _moment(schedule.end)} if schedule.end else {}
    yield f"schedule={short('Schedule', cron=string(schedule.cron), start=_moment(schedule.start), **ends)}"


def _data(declared: Declared, *, url: bool) -> str:
    proposal, source = declared.proposal, declared.source
    csv = {} if source.csv.delimiter == "," else {"delimiter": string(source.csv.delimiter)}
    csv |= {} if source.csv.encoding == "utf-8" else {"encoding": string(source.csv.encoding)}
    parts = (
        f"name={string(source.name)}",
        *((comment("From the database: query='select …' and conn_id='…', see the reference."),) if url else ()),
        *_where(declared),
        *(("# Only these are read and kept.",) if proposal.left_out else ()),
        *(comment(f"Left out: {each.column}, as {each.reason}.") for each in _dropped(declared)),
        f"columns={mapping({name: string(kind) for name, kind in source.columns.items()})}",
        f"time={string(source.time)}" if source.time else "",
        f"time_format={string(source.time_format)}" if source.time_format else "",
        f"time_zone={string(source.time_zone)}" if source.time_zone else "",
        f"missing={strings(source.missing)}" if source.missing else "",
        f"csv={short('Csv', **csv)}" if csv and source.path else "",
        "may_be_empty=True" if source.may_be_empty else "",
    )
    later = {time: strings(columns) for time, columns in proposal.known_later.items()}
    return call(
        "Data",
        f"sources={block('(', (call('Source', *parts),), ')')}",
        f"clean={string(f'{proposal.name}.rules:clean')}" if declared.cleans else "",
        f"expectations={string(f'{proposal.name}.expectations:expectations')}" if proposal.expectations else "",
        *((f"known_later={mapping({source.name: mapping(later)})}",) if later else ()),
    )


def _dropped(declared: Declared) -> Iterator[LeftOut]:
    kept = {*declared.columns}
    yield from (each for each in declared.proposal.left_out if each.column not in kept)


def _where(declared: Declared) -> Iterator[str]:
    source, delivery = declared.source, declared.proposal.delivery
    if source.query:
        yield comment("`start` and `end` are of each interval, in UTC.")
        yield f"query={long_string(source.query)}"
        yield f"conn_id={string(str(source.conn_id))}"
        return
    yield comment("Below the landing root; each interval's file is waited for.")
    yield f"path={string(str(source.path))}"
    if delivery.added:
        of = ", ".join(delivery.time_parts or (str(delivery.time),))
        yield comment(f"`{delivery.added}` is made of {of}: whoever delivers has to add it.")


def _features(declared: Declared) -> Iterator[str]:
    if declared.asks_all and not declared.is_forecast:
        return
    proposal = declared.proposal
    parts = ["# What a caller gives for each row.", f"request={mapping(_types(declared))}"]
    if declared.is_forecast:
        season = ("season_before", "season_change") if declared.season > 1 else ()
        names = ("last_value", "last_change", "mean_of_4", *season, *declared.past.values())
        kinds = dict.fromkeys(names, string("float64"))
        view = call("View", 'name="past"', f"keys=({string(declared.series)},)", f"features={mapping(kinds)}")
        days = declared.season * DAYS[declared.step] / DAYS[proposal.delivery.grain]
        back = [f"lookback={int(days) + 1}"] if days > 1 else []
        parts = [
            f"compute={string(f'{proposal.name}.rules:compute')}",
            f"views={block('(', (view,), ')')}",
            *parts,
            *back,
        ]
    yield f"features={call('Features', *parts)}"


def _types(declared: Declared) -> dict[str, str]:
    return {name: string(kind) for name, kind in declared.request.items()}


def _label(declared: Declared) -> Iterator[str]:
    proposal, known = declared.proposal, dict[str, str]()
    if declared.is_forecast:
        known["examples"] = string(f"{proposal.name}.rules:examples")
    elif proposal.label_known_at:
        known["known_at"] = string(proposal.label_known_at)
    elif proposal.label_delay_days:
        yield comment("So late are 95 % of the labels known.")
        known["known_after"] = f"timedelta(days={round(proposal.label_delay_days, 2):g})"
    yield f"label={short('Label', column=string(declared.label), **known)}"


def _training(declared: Declared) -> str:
    proposal, windows = declared.proposal, declared.proposal.windows
    flavor = {"flavor": string("scikit_learn")} if proposal.problem.kind in SCIKIT_LEARN or declared.is_forecast else {}
    sizes = {"train": str(windows.train), "evaluate": str(windows.evaluate)}
    sizes |= {"wait": str(windows.wait)} if windows.wait else {}
    return call(
        "Training",
        f"trainer={short('Trainer', code=string(f'{proposal.name}.trainer:train'), **flavor)}",
        comment("Intervals to learn from, and later ones to judge on; the newest wait for their labels.")
        if windows.wait
        else comment("Intervals to learn from, and later ones to judge on."),
        f"windows={short('Windows', **sizes)}",
    )


def _evaluation(declared: Declared) -> Iterator[str]:
    limits = declared.proposal.limits
    yield comment(f"A model has to be better than the naive one. {limits.reason.capitalize()}, on all data.")
    yield f"evaluation=EvaluationSettings(metric={string(limits.metric)})"


def _monitoring(declared: Declared) -> Iterator[str]:
    limits = declared.proposal.limits
    if limits.drift_reason != "by default":
        yield comment(f"The share of inputs that may have drifted: {limits.drift_reason}.")
        yield f"monitoring=Monitoring(drift_share={limits.drift_share!r})"


def _moment(moment: datetime | None) -> str:
    assert moment is not None
    day = moment.astimezone(UTC)
    hour = f", {day.hour}" if day.hour else ""
    return f"datetime({day.year}, {day.month}, {day.day}{hour}, tzinfo=UTC)"


def _span(span: timedelta) -> str:
    return f"timedelta(days={span.days})" if span.seconds == 0 else f"timedelta(hours={span // timedelta(hours=1)})"
