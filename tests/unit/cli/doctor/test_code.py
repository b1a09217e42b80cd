"""What is looked at in a product's code: pipelines of CI, and functions that are typed and know no Airflow."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from airflow_mlops_provider.cli.doctor import code
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.maturity.seen import ProductSeen
from airflow_mlops_provider.lifecycle.maturity.verdict import Light
from tests.factories.tiny import TinyWorld

WORKFLOW = ".github/workflows/ci.yml"
TYPED = "def {name}(tables: dict, interval: object) -> dict:\n    return tables\n"


@pytest.fixture
def world(make: Callable[..., TinyWorld]) -> TinyWorld:
    """A tiny product."""
    return make()


@pytest.fixture
def seen(world: TinyWorld) -> ProductSeen:
    """The same, as checks see it."""
    return ProductSeen(world.product)


def write(folder: Path, name: str, text: str) -> None:
    """Write a file."""
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text(text)


def test_without_a_pipeline_of_ci_it_is_off(seen: ProductSeen) -> None:
    """The next step is an example."""
    verdict = code.pipelines(seen)
    assert verdict.off
    assert ".github/workflows" in verdict.next


@pytest.mark.parametrize(
    ("name", "text", "vendor"),
    [
        (WORKFLOW, "on: push\njobs: {test: {steps: []}}", "github-actions"),
        (".gitea/workflows/ci.yaml", "on: {push: null}\njobs: {test: {}}", "gitea-actions"),
        (".gitlab-ci.yml", "test: {script: pytest}", "gitlab-ci"),
        ("Jenkinsfile", "pipeline { agent any }", "jenkins"),
    ],
)
def test_a_pipeline_of_ci_is_named(world: TinyWorld, seen: ProductSeen, name: str, text: str, vendor: str) -> None:
    """By vendor, file and jobs; that it ran nobody can see from here, so it is not green."""
    write(world.products.parent, name, text)
    verdict = code.pipelines(seen)
    assert verdict.light is Light.YELLOW
    assert vendor in verdict.evidence
    assert Path(name).name in verdict.evidence
    assert code.ci_files(world.name)[0] == vendor


@pytest.mark.parametrize(
    ("text", "why"), [("on: [push\n", "no YAML"), ("on: push", "no jobs"), ("- test", "no jobs"), ("", "no jobs")]
)
def test_a_broken_pipeline_of_ci_is_off(world: TinyWorld, seen: ProductSeen, text: str, why: str) -> None:
    """It says which file, and what is wrong with it."""
    write(world.products, WORKFLOW, text)
    try:
        said = code.pipelines(seen).evidence
    except ConfigurationError as error:
        said = str(error)
    assert "ci.yml" in said
    assert why in said


def test_one_that_no_push_starts_says_so(world: TinyWorld, seen: ProductSeen) -> None:
    """Only its files that a push starts are what a push builds with."""
    write(world.products, WORKFLOW, "on: workflow_dispatch\njobs: {test: {}}")
    assert "not started by a push: test" in code.pipelines(seen).evidence


def test_functions_are_counted_and_told_apart(world: TinyWorld, seen: ProductSeen) -> None:
    """Those without annotations are named; all annotated is green; Airflow in a module is off."""
    verdict = code.functions(seen)
    assert verdict.light is Light.YELLOW
    assert f"{world.name}.features:compute" in verdict.evidence
    for code_name in code.named(world.product):
        module, _, name = code_name.removeprefix(f"{world.name}.").partition(":")
        world.write(f"{module}.py", TYPED.format(name=name))
    assert code.functions(seen).light is Light.GREEN
    world.write("rules.py", "from airflow.sdk import Variable\n" + TYPED.format(name="clean"))
    verdict = code.functions(seen)
    assert verdict.off
    assert f"{world.name}.rules" in verdict.evidence
