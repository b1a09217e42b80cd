"""``rules.py``: what is made of delivered rows, only where something has to be."""

from __future__ import annotations

from collections.abc import Iterator

from airflow_mlops_provider.lifecycle.initiation.writing.declared import HORIZONS, NO_LABEL, Declared
from airflow_mlops_provider.lifecycle.initiation.writing.python import comment, indented, string

_HEAD = '''"""What is made of the delivered rows: {what}. Plain pandas."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pandas as pd

if TYPE_CHECKING:
    from airflow_mlops_provider import Interval
'''
_NUMBERS = '''def numbers(texts: pd.Series, point: str) -> pd.Series:
    """Return the numbers that texts are written for; a text that is none is an error."""
    return texts.str.replace(rf"[^\\d+{point}-]", "", regex=True).str.replace(point, ".").astype("float64")'''
_CLEAN = '''def clean(raw: dict[str, pd.DataFrame], interval: Interval) -> dict[str, pd.DataFrame]:
    """Return the rows with columns that can be learned from."""
    del interval  # the rows are its own
    rows = raw[{source}].copy()
{body}
    return {{{source}: rows}}'''
_EXAMPLES = '''def examples(tables: dict[str, pd.DataFrame], interval: Interval) -> pd.DataFrame:
    """Return the rows to predict: each value of the interval, as it is asked for {step} before."""
    rows = tables[{source}].drop_duplicates([{series}, {time}], keep="last")
    rows = rows[(rows[{time}] >= interval.start) & (rows[{time}] < interval.end)]
    return pd.DataFrame(
        {{
            {series}: rows[{series}],
            "event_time": rows[{time}] - AHEAD,
            {label}: rows[{label}].astype("float64"),
            "label_known_at": rows[{time}],  # if a value is known only when its period is over, add that
        }}
    )'''


def rules(declared: Declared) -> str:
    """Return the module; empty if there is nothing to do."""
    parts = [*_clean(declared), *_forecast(declared)]
    if not parts:
        return ""
    what = "values in types that can be learned from" if declared.cleans else "questions and features"
    numbers = (_NUMBERS,) if declared.numbers else ()
    ahead = (_ahead(declared),) if declared.is_forecast else ()
    head = _HEAD.format(what="questions, and features of the past" if declared.is_forecast else what)
    constants = "".join(f"\n{each}\n" for each in ahead)
    return head + constants + "".join(f"\n\n{part}\n" for part in (*numbers, *parts))


def _ahead(declared: Declared) -> str:
    span = HORIZONS[declared.step]
    days = f"days={span.days}" if not span.seconds else "hours=1"
    return f"#: A value is asked for so long before its own time.\nAHEAD = pd.Timedelta({days})"


def _clean(declared: Declared) -> Iterator[str]:
    if declared.cleans:
        body = indented("\n".join(_lines(declared)))
        yield _CLEAN.format(source=string(declared.source.name), body=body)


def _lines(declared: Declared) -> Iterator[str]:
    proposal, label = declared.proposal, string(declared.label)
    for name, example in declared.numbers.items():
        point = "," if _decimal_comma(example) else "."
        yield f"rows[{string(name)}] = numbers(rows[{string(name)}], {string(point)})  # written {example}"
    for name, form in declared.moments.items():
        yield f"rows[{string(name)}] = pd.to_datetime(rows[{string(name)}], format={string(form)}, utc=True)"
    for name in declared.truths:
        yield f'rows[{string(name)}] = rows[{string(name)}].astype("float64")  # true, false, or missing'
    if declared.maps_label:
        yield from _mapped(declared)
    if declared.joins_label:
        yield f'rows[{label}] = rows[{label}].str.strip().str.replace(r"\\s*[|;]\\s*|,\\s*", "|", regex=True)'
    if proposal.label is None:
        yield comment(f"Nothing is labelled. Once people say which rows were odd, put 1 or 0 into {NO_LABEL!r}: until")
        yield "# then a model can be trained, but not judged, and none is served."
        yield f'rows[{label}] = pd.Series(float("nan"), index=rows.index)'
    if declared.makes_series:
        keys = [f"rows[{string(key)}].astype(str)" for key in proposal.keys]
        value = ' + " " + '.join(keys) or '"all"  # there is one'
        yield f"rows[{string(declared.series)}] = {value}"


def _mapped(declared: Declared) -> Iterator[str]:
    proposal, label = declared.proposal, string(declared.label)
    kind, positive = proposal.columns[declared.label], str(proposal.positive)
    negative = next(each for each in proposal.classes if each != positive)
    yield comment(f"What is predicted is {positive}, the rarer of two values.")
    if kind == "string" and declared.label not in declared.numbers:
        yield f"codes = {{{string(positive)}: 1.0, {string(negative)}: 0.0}}"
        yield f"rows[{label}] = rows[{label}].str.strip().map(codes)"
    else:
        yield f"rows[{label}] = rows[{label}].map({{{positive}: 1.0, {negative}: 0.0}})"


def _decimal_comma(example: str) -> bool:
    comma, point = example.rfind(","), example.rfind(".")
    digits = len("".join(filter(str.isdigit, example[comma + 1 :])))
    return comma >= 0 and (point < comma if point >= 0 else digits != 3 or (example.count(",") == 1 and digits != 3))


def _forecast(declared: Declared) -> Iterator[str]:
    if not declared.is_forecast:
        return
    names = {"series": declared.series, "time": str(declared.time), "label": declared.label}
    names = {key: string(name) for key, name in {**names, "source": declared.source.name}.items()}
    yield _compute(declared, **names)
    yield _EXAMPLES.format(step=f"a{'n' if declared.step == 'hour' else ''} {declared.step}", **names)


def _compute(declared: Declared, *, series: str, time: str, label: str, source: str) -> str:
    features = [
        f"{series}: rows[{series}]",
        f'"event_time": rows[{time}]',
        f'"last_value": rows[{label}].astype("float64")',
        '"last_change": past.diff().astype("float64")',
        '"mean_of_4": past.transform(lambda values: values.rolling(4, min_periods=1).mean())',
    ]
    if declared.season > 1:
        features += [
            comment(
                f"The value {declared.season} {declared.step}s before the one that is asked for, if none is left out."
            ),
            f'"season_before": past.shift({declared.season - 1}).astype("float64")',
            f'"season_change": past.diff().groupby(rows[{series}]).shift({declared.season - 1})',
        ]
    features += [f'{string(name)}: rows[{string(of)}].astype("float64")' for of, name in declared.past.items()]
    body = "\n".join(part if part.startswith("#") else f"{part}," for part in features)
    return f'''def compute(tables: dict[str, pd.DataFrame], interval: Interval) -> dict[str, pd.DataFrame]:
    """Return what is known of each series once a value has come: each row is of that value's own time."""
    del interval  # rows of other intervals are left out later
    rows = tables[{source}].dropna(subset=[{label}]).drop_duplicates([{series}, {time}], keep="last")
    rows = rows.sort_values([{series}, {time}])
    past = rows.groupby({series})[{label}]
    return {{
        "past": pd.DataFrame(
            {{
{indented(body, 16)}
            }}
        )
    }}'''
