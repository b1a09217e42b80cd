"""``expectations.py``: what is expected of what comes, as Great Expectations' objects."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.expectation import Expectation
from airflow_mlops_provider.lifecycle.initiation.writing.declared import Declared
from airflow_mlops_provider.lifecycle.initiation.writing.python import indented, short, string, strings

_MODULE = '''"""What is expected of deliveries: by what was seen, with room for what did not happen yet.

A broken one ends the run, but for warnings, which are shown.
"""

from __future__ import annotations

from typing import Any


def expectations(dataset: str) -> list[Any]:
    """Return what is expected of a table."""
    import great_expectations.expectations as gxe

    if dataset != {name}:
        return []
    return [
{rules}
    ]
'''


def expected(declared: Declared) -> str:
    """Return the module."""
    own = [each for each in declared.proposal.expectations if each.kwargs.get("column") in {None, *declared.columns}]
    rules = "\n".join(f"{_rule(each)}," for each in own)
    return _MODULE.format(name=string(declared.source.name), rules=indented(rules, 8))


def _rule(each: Expectation) -> str:
    name = "".join(word.capitalize() for word in each.type.split("_"))
    given = {key: _value(value) for key, value in each.kwargs.items() if (key, value) != ("mostly", 1.0)}
    severity = {} if each.severity == "critical" else {"severity": string(each.severity)}
    return short(f"gxe.{name}", **given, **severity)


def _value(value: object) -> str:
    if isinstance(value, list):
        return strings(map(str, value), "[]")
    return string(value) if isinstance(value, str) else repr(value)
