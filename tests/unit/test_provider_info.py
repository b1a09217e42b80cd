"""What the provider says of itself is valid, and everything that it names is there."""

from __future__ import annotations

import importlib
import json
import re
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path
from typing import Any

import airflow
import jsonschema
import pytest

import airflow_mlops_provider
from airflow_mlops_provider.get_provider_info import get_provider_info
from airflow_mlops_provider.lifecycle.stages import Stage

INFO = get_provider_info()
AIRFLOW = Path(airflow.__file__).parent
ROOT = Path(airflow_mlops_provider.__file__).parent
SHELLS = {"__init__", "base", "lineage", "links"}


def modules(kind: str) -> list[str]:
    """Return the modules that the provider names for a kind of thing."""
    return [module for entry in INFO[kind] for module in entry["python-modules"]]


def paths() -> list[str]:
    """Return every class and function that the provider names."""
    hooks = [entry["hook-class-name"] for entry in INFO["connection-types"]]
    handlers = [entry["handler"] for entry in INFO["asset-uris"]]
    return [*hooks, *handlers, *INFO["extra-links"], *INFO["cli"]]


def test_valid_for_airflow() -> None:
    """The description is what Airflow's own schema wants, and names the distribution as pyproject.toml does."""
    jsonschema.validate(INFO, json.loads((AIRFLOW / "provider_info.schema.json").read_text()))
    declared = re.search(r'^name = "(.+)"$', (ROOT.parent / "pyproject.toml").read_text(), re.MULTILINE)
    assert declared
    assert INFO["package-name"] == declared[1]


@pytest.mark.parametrize("kind", ["operators", "sensors", "triggers", "hooks"])
def test_named_modules_import(kind: str) -> None:
    """Every module that is named exists and imports."""
    for module in modules(kind):
        importlib.import_module(module)


@pytest.mark.parametrize("path", paths())
def test_named_things_are_there(path: str) -> None:
    """Every class and function that is named exists where it is said to be."""
    module, _, name = path.rpartition(".")
    assert callable(getattr(importlib.import_module(module), name))


def test_operators_follow_the_stages() -> None:
    """There is one operator module for each stage, in their order, and those of what is no stage."""
    names = [*Stage, "approval", "feast", "functions", "maintenance"]
    ours = [f"airflow_mlops_provider.operators.{name}" for name in names]
    assert modules("operators") == [*ours, "airflow_mlops_provider.places.kubernetes.operator"]


@pytest.mark.parametrize("kind", ["operators", "sensors", "triggers"])
def test_no_module_is_forgotten(kind: str) -> None:
    """Every public module of these folders is named."""
    files = {path.stem for path in (ROOT / kind).glob("*.py")} - SHELLS
    files = {file for file in files if not file.startswith("_")}
    assert files <= {module.rpartition(".")[2] for module in modules(kind)}


def test_integrations_are_declared() -> None:
    """Every integration that something belongs to is among the declared ones."""
    declared = {entry["integration-name"] for entry in INFO["integrations"]}
    used = {entry["integration-name"] for kind in ("operators", "sensors", "triggers", "hooks") for entry in INFO[kind]}
    assert used <= declared


@pytest.mark.parametrize("entry", INFO["connection-types"], ids=lambda entry: entry["connection-type"])
def test_connection_form_matches_its_hook(entry: dict[str, Any]) -> None:
    """The form's type and name are the hook's, and its behaviour is valid for Airflow, placeholders included."""
    module, _, name = entry["hook-class-name"].rpartition(".")
    hook = getattr(importlib.import_module(module), name)
    assert (hook.conn_type, hook.hook_name) == (entry["connection-type"], entry["hook-name"])
    behaviour = {key.replace("-", "_"): value for key, value in entry["ui-field-behaviour"].items()}
    schema = json.loads((AIRFLOW / "customized_form_field_behaviours.schema.json").read_text())
    jsonschema.validate(behaviour, schema)
    standard = {"host", "port", "schema", "login", "password", "extra", "description"}
    assert set(behaviour["placeholders"]) <= standard | set(entry["conn-fields"])


def test_options_are_those_that_are_read() -> None:
    """Every option of the section that the code asks for is declared."""
    source = "".join(path.read_text() for path in ROOT.rglob("*.py"))
    asked = set(re.findall(r'"mlops", "(\w+)"', source)) | set(re.findall(r'\boption\("(\w+)"\)', source))
    assert asked
    assert asked <= set(INFO["config"]["mlops"]["options"])


def test_airflow_discovers_the_provider() -> None:
    """Where the distribution is installed, Airflow finds its forms, links, asset scheme and configuration."""
    try:
        distribution("airflow-mlops-provider")
    except PackageNotFoundError:
        pytest.skip("the distribution is not installed here")
    from airflow.providers_manager import ProvidersManager
    from airflow.sdk.providers_manager_runtime import ProvidersManagerTaskRuntime

    manager, runtime = ProvidersManager(), ProvidersManagerTaskRuntime()
    assert {entry["connection-type"] for entry in INFO["connection-types"]} <= set(runtime.hooks)
    assert set(INFO["extra-links"]) <= set(manager.extra_links_class_names)
    assert "mlops" in runtime.asset_uri_handlers
    assert "mlops" in dict(manager.provider_configs)["airflow-mlops-provider"]
