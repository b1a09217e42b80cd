"""The workflows that ``airflow mlops ci`` writes, with the steps of a check, and those of this repository: linted."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from airflow_mlops_provider.cli.delivery.definition import STEPS, TEMPLATES
from airflow_mlops_provider.cli.delivery.workflows import write
from airflow_mlops_provider.exceptions import ConfigurationError

CHECKOUT = Path(__file__).parents[3]
OURS = sorted((CHECKOUT / ".github" / "workflows").glob("*.yml"))
PROGRAMS = Path(sys.executable).parent


@pytest.fixture(params=TEMPLATES)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[str, Path]:
    """A template and what was written of it."""
    assert str(tmp_path / TEMPLATES[request.param]) in write(request.param, tmp_path)
    return request.param, tmp_path / TEMPLATES[request.param]


def lint(program: str, *arguments: str | Path) -> str:
    """Run a linter and return what it complains of."""
    done = subprocess.run([PROGRAMS / program, *arguments], capture_output=True, text=True, check=False)
    return f"{done.stdout}{done.stderr}" if done.returncode else ""


@pytest.mark.parametrize("file", OURS, ids=lambda file: file.name)
def test_the_workflows_of_this_repository(file: Path) -> None:
    """Valid, actions by full commit, least permissions."""
    assert_safe(file)


def assert_safe(file: Path) -> None:
    """Hold a GitHub workflow against its schema, and against the audits of zizmor."""
    assert not lint("check-jsonschema", "--builtin-schema", "vendor.github-workflows", file)
    assert not lint("zizmor", "--offline", "--no-progress", file)
    pinned = re.findall(r"uses: \S+@[0-9a-f]{40} # v[\d.]+$", file.read_text(), re.MULTILINE)
    assert len(pinned) == file.read_text().count("uses: ")


def test_a_written_workflow_is_valid(written: tuple[str, Path]) -> None:
    """GitHub's and GitLab's by their schemas; Jenkins' has as many brackets and quotes closed as opened."""
    template, file = written
    if template == "github":
        assert_safe(file)
    elif template == "gitlab":
        arguments = ("--builtin-schema", "vendor.gitlab-ci", "--data-transform", "gitlab-ci")
        assert not lint("check-jsonschema", *arguments, file)
    else:
        code = re.sub(r"//.*|'[^'\n]*'|\"[^\"\n]*\"", "", file.read_text())
        assert not {"'", '"'} & {*code}
        while (shorter := re.sub(r"\{[^(){}\[\]]*\}|\([^(){}\[\]]*\)|\[[^(){}\[\]]*\]", "", code)) != code:
            code = shorter
        assert code.split() == ["pipeline"]


def test_its_steps_are_those_of_a_check(written: tuple[str, Path]) -> None:
    """By their names and in their order, each called as at a terminal."""
    _, file = written
    assert (
        tuple(re.findall(r"\$CHECK (\w+)", file.read_text().replace("buildah build -f Dockerfile", "$CHECK image")))
        == STEPS
    )
    assert steps(*written) == [*STEPS]


def steps(template: str, file: Path) -> list[str]:
    """Return the names of a workflow's steps, without what comes before and after them."""
    if template == "jenkins":
        return [
            name for name in re.findall(r"stage\('(\w+)'\)", file.read_text()) if name not in ("install", "deliver")
        ]
    workflow: dict[str, Any] = yaml.safe_load(file.read_text())
    if template == "gitlab":
        return [name.removeprefix("check ") for name in workflow if name.startswith("check ")]
    named = [step["name"] for step in workflow["jobs"]["check"]["steps"] if "name" in step]
    return [name for name in named if name != "install"]


def test_what_is_delivered_is_named_and_described(written: tuple[str, Path]) -> None:
    """The image by its digest, and what is installed in it, as the image itself says; both are kept."""
    text = written[1].read_text()
    deliver = text[text.index("deliver") :]
    made = deliver.index("-m airflow_mlops_provider.runtime.installed > sbom.cdx.json")
    assert re.search(r"(push|docker push) ", deliver[:made])
    assert re.search(r"(paths: \[|archiveArtifacts '|path: \|\n\s+)image.txt,?\s+sbom.cdx.json", deliver[made:])


def test_nothing_is_overwritten(written: tuple[str, Path]) -> None:
    """Unless it is said; a repository that is not there is named."""
    template, file = written
    folder = next(parent for parent in file.parents if parent / TEMPLATES[template] == file)
    file.write_text("mine")
    with pytest.raises(ConfigurationError, match="--force"):
        write(template, folder)
    assert file.read_text() == "mine"
    write(template, folder, force=True)
    assert file.read_text() != "mine"
    with pytest.raises(ConfigurationError, match="nowhere"):
        write(template, folder / "nowhere")
