"""The stack decision: read typed, written to be filled in, compared part by part."""

from __future__ import annotations

import pytest

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.maturity.stack import (
    NONE,
    PARTS,
    Part,
    differences,
    parsed,
    unexplained,
    written,
)

MLFLOW = Part(vendor="mlflow", version="3.14.0", kind="server", why='It is "known" \\ ours')


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[model_registry", ["dags/stack.toml", "no TOML"]),
        ("[registry]\nvendor = 'mlflow'", ["dags/stack.toml", "[registry]", "model_registry"]),
        ("model_registry = 'mlflow'", ["dags/stack.toml", "model_registry", "table"]),
        ("[model_registry]\nversion = '3'", ["dags/stack.toml", "[model_registry] vendor", "required"]),
        ("[model_registry]\nvendor = 3", ["dags/stack.toml", "[model_registry] vendor", "string"]),
        ("[model_registry]\nvendor = 'mlflow'\nreason = 'x'", ["[model_registry]", "'reason'", "known: kind, vendor"]),
    ],
)
def test_what_is_wrong_is_named_by_file_table_and_key(text: str, named: list[str]) -> None:
    """With the known names, where one is unknown."""
    with pytest.raises(ConfigurationError) as raised:
        parsed(text, "dags/stack.toml")
    assert all(words in str(raised.value) for words in named), raised.value


def test_what_is_written_is_read_back() -> None:
    """Also texts with quotes; an empty reason is there to be filled in."""
    stack = {"model_registry": MLFLOW, "ci_cd": Part(vendor=NONE)}
    text = written(stack)
    assert parsed(text, "stack.toml") == stack
    assert text.count("why = ") == 2
    assert "kind" not in text.partition("[ci_cd]")[2]
    assert unexplained(stack) == ["ci_cd"]


@pytest.mark.parametrize(
    ("declared", "lines"),
    [
        ({"model_registry": MLFLOW}, []),
        ({"model_registry": Part(vendor="mlflow")}, []),
        ({"model_registry": Part(vendor="mlflow", kind="sqlite")}, ["[model_registry] kind is sqlite, but server is"]),
        (
            {"model_registry": Part(vendor="mlflow", version="3.13")},
            ["[model_registry] version is 3.13, but 3.14.0"],
        ),
        ({"model_registry": Part(vendor="sagemaker")}, ["[model_registry] vendor is sagemaker, but mlflow is there"]),
        ({}, ["[model_registry] is missing; configured is mlflow"]),
    ],
)
def test_a_difference_is_named(declared: dict[str, Part], lines: list[str]) -> None:
    """What is left empty is not compared; nothing is said of what is neither declared nor there."""
    actual = {"model_registry": MLFLOW, "ci_cd": Part(vendor=NONE)}
    named = list(differences(declared, actual, str.__eq__))
    assert len(named) == len(lines)
    assert all(line.startswith(wanted) for line, wanted in zip(named, lines, strict=True)), named


def test_a_part_that_is_gone_is_named() -> None:
    """What was decided and is not there any more differs, too."""
    assert list(differences({"ci_cd": Part(vendor="jenkins")}, {"ci_cd": Part(vendor=NONE)}, str.__eq__)) == [
        "[ci_cd] vendor is jenkins, but none is there"
    ]
    assert "ci_cd" in PARTS
