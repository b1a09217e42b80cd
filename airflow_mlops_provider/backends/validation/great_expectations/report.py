"""Great Expectations: whether data keeps its promises, and which it breaks.

Import this lazily: ``great_expectations`` takes about 7 s to load, most of it pandas, scipy, sqlalchemy and altair for
expectations that its package registers as a whole; no submodule can be imported without the package.

Great Expectations' own page loads its styles and scripts from six other hosts, so a small page of our own is written.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from string import Template
from typing import Any

import pandas as pd

from airflow_mlops_provider.backends.telemetry import disable_telemetry
from airflow_mlops_provider.backends.validation.base import PAGE, Verdict
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.render.markup import Content, Html, join, tag
from airflow_mlops_provider.render.parts import badge, card, report, table

disable_telemetry()

import great_expectations as gx  # noqa: E402 - telemetry is decided while it is imported
from great_expectations.compatibility.pydantic import ValidationError  # noqa: E402
from great_expectations.data_context.types.base import ProgressBarsConfig  # noqa: E402
from great_expectations.exceptions import GreatExpectationsError, SuiteParameterError  # noqa: E402
from great_expectations.expectations.expectation_configuration import ExpectationConfiguration  # noqa: E402

DETAILS = "validation.json"

_RANGE = re.compile(r"greater than or equal to (\S+) and less than or equal to (\S+?)(?=,|\s|\.?$)")
_SAMPLE = 5  # unexpected values shown for each expectation
_LONGEST = 300  # characters of one text
_MOST = 50  # items of one list in the details
_MOST_OF_ALL = 10_000  # the same, where a complete result is wanted


@dataclass(frozen=True)
class _Finding:
    """One expectation's result, in words."""

    passed: bool
    subject: str
    expected: str
    seen: str
    sample: tuple[str, ...]
    severity: str

    @property
    def critical(self) -> bool:
        return self.severity not in ("warning", "info")


@dataclass(frozen=True)
class Run:
    """How expectations are evaluated.

    :param parameters: the values of the ``$PARAMETER`` in them.
    :param result_format: what Great Expectations is to say of each, in its own words.
    """

    parameters: Mapping[str, Any] = field(default_factory=dict)
    result_format: Any = None

    @property
    def shape(self) -> dict[str, Any]:
        """The result format, with all that it leaves open."""
        given = self.result_format if isinstance(self.result_format, Mapping) else {}
        named = self.result_format or "SUMMARY"
        return {"result_format": named, "partial_unexpected_count": _SAMPLE} | dict(given)

    @property
    def most(self) -> int:
        """How many items of one list are kept."""
        return _MOST_OF_ALL if self.shape["result_format"] == "COMPLETE" else _MOST


def validate(
    frame: pd.DataFrame,
    expectations: list[Any],
    name: str,
    folder: Path,
    left_out: Mapping[str, int] | None = None,
    run: Run | None = None,
) -> Verdict:
    """Hold data against its expectations, and write ``validation.html`` and ``validation.json``.

    An expectation that cannot be evaluated (column missing, types that do not compare) is broken, with the reason.
    The verdict is that of the critical ones.

    :param expectations: Great Expectations' expectation objects, or their JSON configurations; left unchanged.
    :param name: the dataset's name, for messages.
    :param folder: an existing folder for the two files.
    :param left_out: how many delivered rows are not in the data, by reason; told as a warning.
    :raises ConfigurationError: for an expectation that Great Expectations does not know, or that lacks an argument, and
        for a parameter without a value.
    """
    run = run or Run()
    results = _run(frame, expectations, name, run) if expectations else []
    sentences: dict[str, Any] = {}
    findings = [*_left_out(left_out or {}), *(_finding(result, sentences) for result in results)]
    lines = [(_line(name, finding), finding.critical) for finding in findings if not finding.passed]
    broken = tuple(line for line, critical in lines if critical)
    (folder / PAGE).write_text(_page(name, frame, findings), encoding="utf-8")
    details = {
        "name": name,
        "rows": len(frame),
        "success": not broken,
        "left_out": dict(left_out or {}),
        "results": [_details(result, run.most) for result in results],
    }
    text = json.dumps(details, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    (folder / DETAILS).write_text(text, encoding="utf-8")
    warnings = tuple(line for line, critical in lines if not critical)
    return Verdict(not broken, broken, len(findings), warnings)


def _left_out(counts: Mapping[str, int]) -> list[_Finding]:
    seen = ", ".join(f"{count} {reason}" for reason, count in counts.items())
    expected = "every delivered row is in its interval"
    return [_Finding(False, "", expected, f"left out: {seen}", (), "warning")] if counts else []


def _run(frame: pd.DataFrame, expectations: list[Any], name: str, run: Run) -> list[Any]:
    """Return one result for each expectation, in the order given."""
    given = [_made(number, expectation) for number, expectation in enumerate(expectations, 1)]
    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    batch = context.data_sources.add_pandas(name).add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    # An expectation with an identity is taken by no other suite; here it says which result is whose.
    copies = [expectation.copy(update={"id": None}, deep=True) for expectation in given]
    suite = gx.ExpectationSuite(name=name, expectations=copies)
    for number, expectation in enumerate(suite.expectations):
        expectation.id = str(number)
    try:
        # A validation definition would also store the results, which fails on the truth values of numpy in some.
        outcome = batch.get_batch({"dataframe": frame}).validate(
            suite, result_format=run.shape, expectation_parameters=dict(run.parameters)
        )
    except SuiteParameterError as error:
        known = ", ".join(map(str, run.parameters)) or "none"
        raise ConfigurationError(f"{name}: {error}; the task's parameters: {known}") from None
    return sorted(outcome.results, key=lambda result: int(result.expectation_config.id))


def _made(number: int, given: Any) -> Any:
    """Return the expectation object that a JSON configuration describes; an object as it is.

    A suite made of configurations would leave out the one that it can't read, with nothing but a line in the log.
    """
    if not isinstance(given, Mapping):
        return given
    try:
        return ExpectationConfiguration(**given).to_domain_obj()
    except (GreatExpectationsError, ValueError, TypeError) as error:
        lines = error.errors() if isinstance(error, ValidationError) else [{"loc": (), "msg": str(error)}]
        said = "; ".join(" ".join(map(str, (*line["loc"], line["msg"]))).removeprefix("__root__ ") for line in lines)
        raise ConfigurationError(f"expectation {number} ({given.get('type')}): {_short(said)}") from None


def _finding(result: Any, sentences: dict[str, Any]) -> _Finding:
    config = result.expectation_config
    sample = (result.result or {}).get("partial_unexpected_list") or ()
    return _Finding(
        passed=bool(result.success) and not _reason(result.exception_info),
        subject=_subject(config.kwargs),
        expected=_expected(config, sentences),
        seen=_seen(result),
        sample=tuple(dict.fromkeys(_short(value, 60) for value in sample)),
        severity=str(getattr(config.severity, "value", config.severity)),
    )


def _subject(kwargs: Mapping[str, Any]) -> str:
    """Return the column or columns that an expectation speaks of; nothing for the whole table."""
    names = [kwargs.get("column"), kwargs.get("column_A"), kwargs.get("column_B"), *(kwargs.get("column_list") or ())]
    return ", ".join(str(name) for name in names if name)


def _expected(config: Any, made: dict[str, Any]) -> str:
    """Return what was expected: the author's description, else Great Expectations' own sentence, filled in.

    :param made: sentences so far. One takes it 10 ms, and says the same of many columns.
    """
    if config.description:
        return _short(config.description)
    column, same = config.kwargs.get("column"), {**config.kwargs, "column": None, "batch_id": None}
    key = f"{config.type} {bool(column)} {same!r}"
    if key not in made:
        expectation = config.to_domain_obj()
        expectation.render()
        made[key] = next((block.value for block in expectation.rendered_content or () if block.value.template), None)
    rendered = made[key]
    if rendered is None:
        return str(config.type).removeprefix("expect_").replace("_", " ")
    values = {name: _short(param["value"]) for name, param in _plain(rendered.params).items()}
    values |= {"column": _short(column)} if "column" in values else {}
    sentence = Template(rendered.template).safe_substitute(values).removeprefix(f"{column} ")
    sentence = _RANGE.sub(r"between \1 and \2", sentence)
    return _short(sentence[:1].lower() + sentence[1:].rstrip("."))


def _seen(result: Any) -> str:
    details, reason = result.result or {}, _reason(result.exception_info)
    if reason:
        return f"could not be evaluated: {reason}"
    if "unexpected_count" in details:
        total = f" of {details['element_count']}" if "element_count" in details else ""
        return f"{details['unexpected_count']}{total} are not"
    mismatch = (details.get("details") or {}).get("mismatched")
    if mismatch:
        return _short(mismatch)
    if "observed_value" in details:
        return f"observed {_short(details['observed_value'])}"
    return "it is so" if result.success else "it is not so"


def _reason(info: Mapping[str, Any] | None) -> str:
    """Return why an expectation could not be evaluated. The reasons lie one level deeper if metrics raised them."""
    nested = [details for details in (info or {}).values() if isinstance(details, Mapping)] or [info or {}]
    messages = [str(details["exception_message"]) for details in nested if details.get("exception_message")]
    return _short(" ".join(messages[0].removeprefix("Error: ").split())) if messages else ""


def _line(name: str, finding: _Finding) -> str:
    subject = f"{name}.{finding.subject}" if finding.subject and "," not in finding.subject else name
    example = f" (e.g. {' | '.join(finding.sample[:3])})" if finding.sample else ""
    return f"{subject}: {finding.expected}; {finding.seen}{example}"


def _details(result: Any, most: int) -> dict[str, Any]:
    """Return a result as bounded plain JSON, without identities and tracebacks, which differ at every run."""
    whole = result.to_json_dict()
    config = whole["expectation_config"]
    return {
        "type": config["type"],
        "kwargs": _plain({key: value for key, value in config["kwargs"].items() if key != "batch_id"}),
        "severity": str(config.get("severity")),
        "success": bool(whole["success"]),
        "result": _plain(whole["result"], most),
        "exception": _reason(whole["exception_info"]) or None,
    }


def _plain(value: Any, most: int = _MOST) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(part, most) for key, part in value.items()}
    if isinstance(value, (list, tuple, set)):
        return [_plain(part, most) for part in list(value)[:most]]
    if isinstance(value, float):
        return value if math.isfinite(value) else str(value)
    if value is None or isinstance(value, (bool, int)):
        return value
    if hasattr(value, "dict"):
        return _plain(value.dict(), most)
    return _short(value)


def _short(value: Any, longest: int = _LONGEST) -> str:
    """Return any value as a text for a person: no types, no long tails."""
    if isinstance(value, Mapping):
        text = "; ".join(f"{key} {_short(part)}" for key, part in value.items())
    elif isinstance(value, (list, tuple, set)):
        text = ", ".join(_short(part) for part in list(value)[:_MOST])
    else:
        text = f"{value:.10g}" if isinstance(value, float) else str(value)
    return text if len(text) <= longest else f"{text[: longest - 1]}…"


def _page(name: str, frame: pd.DataFrame, findings: list[_Finding]) -> Html:
    """Return the page: broken expectations first."""
    broken = sum(not finding.passed and finding.critical for finding in findings)
    warnings = sum(not finding.passed for finding in findings) - broken
    every = len(findings)
    verdict = f"{broken} of {every} expectations broken" if broken else f"all {every - warnings} expectations held"
    verdict += f", {warnings} to be looked at" if warnings else ""
    passed = badge("failed", "not passed") if broken else badge("held", "passed")
    rows = map(_row, sorted(findings, key=lambda finding: (finding.passed, not finding.critical)))
    return report(
        f"{name}: {verdict}",
        join((passed, f"{len(frame):,} rows, {len(frame.columns)} columns"), " "),
        card("Expectations", table(("result", "column", "expected", "seen", "unexpected, for example"), rows)),
    )


def _row(finding: _Finding) -> tuple[Content, ...]:
    result = badge("attention", f"! {finding.severity}")
    if finding.passed:
        result = badge("held", "✓ held")
    elif finding.critical:
        result = badge("failed", f"✗ {finding.severity}")
    sample = join((tag("code", value) for value in finding.sample), " ")
    return result, finding.subject, finding.expected, finding.seen, sample
