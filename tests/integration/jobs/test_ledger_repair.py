"""A ledger is brought back from MLflow: after a kill at any point, without copies, and by the command line."""

from __future__ import annotations

import getpass
import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.backends.tracking.mlflow.mirror import ENTRY, HEAD, Mirror
from airflow_mlops_provider.exceptions import IntegrityError
from airflow_mlops_provider.jobs.deployment.verify import verify
from airflow_mlops_provider.jobs.registry.repair import repair
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.runtime.context import JobContext
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.runtime.inputs import Inputs
from airflow_mlops_provider.storage.artifacts import FolderStore
from airflow_mlops_provider.storage.repairs import repairs
from tests.factories.deploy import DeployWorld
from tests.factories.ports import free_port
from tests.factories.serving import NAME

FOREIGN = "00000009.json"


class Killed(BaseException):
    """As after SIGKILL nothing else is done."""


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DeployWorld]:
    """A product with two production-ready versions, and no server."""
    one = DeployWorld(tmp_path_factory.mktemp("repair"), free_port())
    try:
        for model in (0, 1):
            one.ready(model)
        assert runner.run(one.spec("reconcile")).state == "success"
        yield one
    finally:
        one.close()


@pytest.fixture
def context(world: DeployWorld) -> Any:
    """What verifying and repairing are given."""
    spec, job = world.spec("reconcile"), find_job("reconcile")
    return JobContext(spec, world.root, job.read(spec), Inputs(world.store))


def files(world: DeployWorld) -> dict[str, bytes]:
    """Return the ledger's files."""
    return {file.name: file.read_bytes() for file in (world.root / NAME / "ledger").iterdir()}


def damage(world: DeployWorld) -> None:
    """Change an entry, take one away, and add a file that is none."""
    folder = world.root / NAME / "ledger"
    (folder / "00000001.json").write_text("{}")
    (folder / "00000003.json").unlink()
    (folder / FOREIGN).write_text("mine")


def test_killed_at_every_point(world: DeployWorld, context: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever a repair ends, the next one finishes it: the same bytes, nothing lost, and each record has its end."""
    whole, killed = files(world), 0
    for point in range(1, 100):
        damage(world)
        left = [point]

        def counted(call: Callable[..., Any], left: list[int] = left) -> Callable[..., Any]:
            def until(*arguments: Any, **named: Any) -> Any:
                left[0] -= 1
                if not left[0]:
                    raise Killed
                return call(*arguments, **named)

            return until

        with monkeypatch.context() as dying:
            for owner, name in (
                (FolderStore, "write"), (FolderStore, "remove"), (Mirror, "_tag"), (Mirror, "_tag_version"),
            ):  # fmt: skip
                dying.setattr(owner, name, counted(getattr(owner, name)))
            try:
                repair(context, "an attack", "ada")
                assert files(world) == whole
                break
            except Killed:
                killed += 1
        repair(context, "an attack, again", "bob")
        assert files(world) == whole, point
        assert verify(context).damage == (), point
        assert all(done.ended for done in repairs(world.store, NAME)), point
        aside = [file.read_bytes() for file in (world.root / NAME / "repairs").rglob(f"aside/ledger/{FOREIGN}")]
        assert aside and set(aside) == {b"mine"}
    assert killed > 7
    last = repairs(world.store, NAME)[-1]
    assert (last.by, last.reason) == ("ada", "an attack")
    assert last.what == (
        "brought back what was gone: ledger/00000003.json",
        "brought back what was changed: ledger/00000001.json",
        f"moved aside: ledger/{FOREIGN}",
    )


def test_entries_of_an_earlier_release_get_copies(world: DeployWorld, context: Any) -> None:
    """Verification of a whole ledger says of which entries MLflow had no copy, and makes them; a second finds none."""
    for number in range(3):
        world.mirror.client.delete_model_version_tag(NAME, "1", f"{ENTRY}{number:08d}")
    verified = verify(context)
    assert (verified.damage, verified.notes) == ((), ("MLflow had no copy of entries 0-2",))
    assert verify(context).notes == ()
    kept = world.mirror.kept()
    assert kept.entries == dict(enumerate(world.ledger.read().data)) and kept.strays == []


@pytest.mark.parametrize("what", ["changed", "gone", "no head"])
def test_what_cannot_be_brought_back_is_said(world: DeployWorld, context: Any, what: str) -> None:
    """Without a copy, or a head, nothing is changed, and the message names the entry and what is to be done."""
    file, whole, head = world.root / NAME / "ledger" / "00000001.json", files(world), world.ledger.head()
    world.mirror.client.delete_model_version_tag(NAME, "1", f"{ENTRY}00000001")
    file.unlink() if what == "gone" else file.write_bytes(file.read_bytes() + b" ")
    said = {"changed": r"no copies of 1 entries, the first of them .*00000001\.json", "gone": "entries 1 of .* backup"}
    if what == "no head":
        world.mirror.client.delete_registered_model_tag(NAME, HEAD)
    before = files(world)
    with pytest.raises(IntegrityError, match=said.get(what, "keeps no head .* adopt")):
        repair(context, "an attack", "ada")
    assert files(world) == before
    file.write_bytes(whole[file.name])
    assert head is not None
    world.mirror.client.set_registered_model_tag(NAME, HEAD, head)
    assert verify(context).notes == ("MLflow had no copy of entries 1",)


def test_mlflow_does_not_answer(world: DeployWorld, context: Any) -> None:
    """Nothing vouches for the ledger then, and that is damage."""
    context.spec = world.spec("reconcile").model_copy(
        update={"services": world.services.model_copy(update={"mlflow": "http://127.0.0.1:9"})}
    )
    (found,) = verify(context).damage
    assert found.what.startswith("MLflow does not answer")


def test_by_the_command_line(world: DeployWorld, tmp_path: Path) -> None:
    """Verify names the damage and ends with status 1; repair says what it did; history shows by whom and why."""

    def mlops(*arguments: str) -> subprocess.CompletedProcess[str]:
        settings = {
            "PRODUCTS_FOLDERS": world.code, "ARTIFACT_ROOT": world.root, "MLFLOW_URI": world.services.mlflow,
            "SERVING_PORT": world.port,
        }  # fmt: skip
        env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore", "COLUMNS": "250"}
        env |= {f"AIRFLOW__MLOPS__{name}": str(value) for name, value in settings.items()}
        command = [sys.executable, "-m", "airflow", "mlops", *arguments]
        return subprocess.run(command, env=env, capture_output=True, text=True, check=False)

    whole = files(world)
    damage(world)
    told = mlops("ledger", "verify")
    assert told.returncode == 1 and "Traceback" not in told.stderr, told.stderr
    assert f"{NAME}: 0 entries, DAMAGED" in told.stdout
    for line in ("00000001.json is not what", "00000003.json is gone", f"{FOREIGN} is no entry", "next: airflow mlops"):
        assert line in told.stdout
    told = mlops("ledger", "repair", NAME, "--reason", "somebody [was] here")
    assert told.returncode == 0 and f"moved aside: ledger/{FOREIGN}" in told.stdout, told.stderr
    assert files(world) == whole
    told = mlops("ledger", "verify", NAME, "--json")
    (verified,) = json.loads(told.stdout)
    assert told.returncode == 0 and verified["entries"] == len(whole) and verified["damage"] == []
    told = mlops("history", NAME)
    (line,) = (line for line in told.stdout.splitlines() if "somebody [was] here" in line)
    assert "ledger repaired" in line and getpass.getuser() in told.stdout
