"""``airflow mlops reproduce``: identical from the record alone, or the first thing that differs, by name."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from airflow_mlops_provider.cli.reproduction.reproduce import Reproduction
from airflow_mlops_provider.cli.reproduction.workbench import workbench
from airflow_mlops_provider.exceptions import IntegrityError, MissingRecordError, UnknownNameError
from airflow_mlops_provider.lifecycle.records.manifest import Commit
from airflow_mlops_provider.lifecycle.records.reproduction import Finding
from airflow_mlops_provider.runtime.reproduction import plan as reproduction
from airflow_mlops_provider.runtime.reproduction import recorded_code
from airflow_mlops_provider.storage.artifacts import open_store
from tests.factories.declared import changed
from tests.factories.shop import DAYS, RULES, SETTINGS, ShopWorld

RAW = "raw file sales/2024-01-02.csv"
CHANGED_RULES = RULES.replace("> LEAST", "> LEAST + 1")


@pytest.fixture(scope="module")
def learned(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ShopWorld]:
    """A product with one version of its model."""
    world = ShopWorld(tmp_path_factory.mktemp("shop"))
    world.learn()
    yield world
    world.close()


@pytest.fixture
def world(learned: ShopWorld) -> Iterator[ShopWorld]:
    """The same for each test, which may change code and deliveries as it likes."""
    yield learned
    learned.git("reset", "--quiet", "--hard", learned.first)
    for number, day in enumerate(DAYS):
        learned.deliver_day(number, day)


def reproduction_of(world: ShopWorld, number: int = 1, **options: Any) -> Reproduction:
    """Return the reproduction of the version, not yet begun."""
    return Reproduction(world.name, number, str(world.root), secrets={}, progress=lambda _: None, **options)


def look(world: ShopWorld, **options: object) -> Finding | None:
    """Compare the present with the record, and return the first difference."""
    one = reproduction_of(world, **options)
    one.compare_present()
    return one.compared.first_difference


def command(world: ShopWorld, *arguments: str) -> subprocess.Popen[str]:
    """Start ``airflow mlops reproduce`` on the version."""
    line = ["reproduce", f"{world.name}@1", "--root", str(world.root), "--dags", str(world.products), *arguments]
    return subprocess.Popen(
        [sys.executable, "-m", "airflow", "mlops", *line],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONWARNINGS": "ignore"},
    )


def test_identical_from_the_record_alone(world: ShopWorld, tmp_path: Path) -> None:
    """With other code here and a delivery gone, the recorded commit and the kept snapshot give every byte again."""
    world.write("rules.py", CHANGED_RULES)
    world.commit("Another rule")
    (world.landing / "sales" / "2024-01-02.csv").unlink()
    again = reproduction_of(world, at="recorded", work=tmp_path)
    assert again.run().verdict == "identical"
    told = {one.what: one for found in again.compared.sections.values() for one in found}
    assert "kept snapshot" in told[RAW].note
    assert "as it was kept" in told["raw data 2024-01-02"].note
    assert told["raw data 2024-01-01"].note == ""
    assert {"clean data 2024-01-02", "features 2024-01-02", "training set", "model"} <= told.keys()
    assert "not compared" in told["metric train_seconds"].note
    metric = told["metric challenger_roc_auc"]
    assert metric.recorded == metric.found
    assert again.to_json()["identical"] is True
    assert list(tmp_path.iterdir()) == []  # nothing is left behind


def test_nothing_changed(world: ShopWorld) -> None:
    """What is touched without a change of content, or has no part in the model, is no difference."""
    (world.package / "rules.py").touch()
    world.write("expectations.py", "def expectations(name):\n    return []\n")
    assert look(world) is None


def test_one_byte_of_a_raw_file(world: ShopWorld) -> None:
    """The file is named with both hashes, as the last line, and the exit status says so."""
    file = world.landing / "sales" / "2024-01-02.csv"
    file.write_bytes(file.read_bytes().replace(b".5", b".6", 1))
    done = command(world)
    out, err = done.communicate(timeout=120)
    assert done.returncode == 1, err
    last = out.splitlines()[-1]
    assert last.startswith(f"differs: {RAW} (recorded ")
    assert " now " in last


def test_one_line_of_a_rule(world: ShopWorld) -> None:
    """The rule is named with file, line, function and both commits."""
    world.write("rules.py", CHANGED_RULES)
    second = world.commit("Another rule")
    found = look(world)
    assert found is not None
    assert found.differs.startswith(
        f"rule {world.name}.rules:clean ({world.name}/rules.py, line 7 in clean) "
        f"differs between commit {world.first[:12]} and commit {second[:12]}: "
    )
    assert 'amount"] > LEAST + 1]' in found.differs
    assert "uncommitted" not in found.differs
    assert look(world, at="recorded") is None


def test_an_uncommitted_change_is_said(world: ShopWorld) -> None:
    """Code that no commit holds is not passed off as that of a commit."""
    world.write("rules.py", CHANGED_RULES)
    found = look(world)
    assert found is not None
    assert f"and commit {world.first[:12]} with uncommitted changes: " in found.differs


def test_what_a_rule_imports(world: ShopWorld) -> None:
    """A module that only the rule imports is named, with its line."""
    world.write("limits.py", "LEAST = 1\n")
    found = look(world)
    assert found is not None
    assert found.what == f"module {world.name}.limits"
    assert found.differs.endswith(": 'LEAST = 0' is now 'LEAST = 1'")


def test_one_setting(world: ShopWorld) -> None:
    """A setting is named down to its value; a part of the declaration that no job read is left out."""
    declared = world.product.training.trainer
    settings = {**declared.settings, "num_leaves": 5}
    trainer = declared.model_copy(update={"settings": settings})
    other = changed(world.product, {"goal": "another", "training.trainer": trainer})
    steps = [step.recorded for step in reproduction_of(world).steps if step.recorded]
    found = [one for manifest in steps for one in recorded_code.findings(manifest, other) if not one.equal]
    assert SETTINGS.endswith('"num_leaves": 4}')
    assert [one.differs for one in found] == ["setting trainer.settings.num_leaves (recorded 4, now 5)"]


def test_another_version_of_a_package(world: ShopWorld, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The package is named before any work, with both versions."""
    installed = tmp_path / "lightgbm-9.9.dist-info"
    installed.mkdir()
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: lightgbm\nVersion: 9.9\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    found = look(world)
    assert found is not None
    assert found.differs.startswith("package lightgbm (recorded ")
    assert found.differs.endswith(", here 9.9)")


def test_a_spoiled_model(world: ShopWorld) -> None:
    """Kept bytes that are not those on record are named, and not taken as input either."""
    step = next(one for one in reproduction_of(world).steps if one.job == "train")
    file = world.root / step.key / "model.lgb"
    whole = file.read_bytes()
    file.write_bytes(whole.replace(b"tree", b"tref", 1))
    try:
        found = look(world)
        assert found is not None
        assert found.what == "kept model"
        with pytest.raises(IntegrityError, match="not what was recorded"):
            reproduction.take(step.reference, open_store(str(world.root)), open_store(str(world.root / "elsewhere")))
    finally:
        file.write_bytes(whole)


def test_code_that_is_lost(world: ShopWorld, tmp_path: Path) -> None:
    """Code that ran uncommitted and was changed since is not to be had: the message says what might help."""
    step = next(one for one in reproduction_of(world).steps if one.job == "clean")
    assert step.recorded is not None
    lost = step.recorded.model_copy(update={"code_hashes": {f"{world.name}.rules": "0" * 64}})
    with workbench(tmp_path, None, {}, keep=False) as bench, pytest.raises(MissingRecordError, match="--repository"):
        bench.code(lost, [])
    unknown = step.recorded.model_copy(update={"code": step.recorded.code.model_copy(update={"commit": "0" * 40})})
    with workbench(tmp_path, str(tmp_path / "none"), {}, keep=False) as bench:
        assert bench.code(unknown, []).users[0] == world.products  # the same code stands here


def test_code_that_was_in_no_repository(world: ShopWorld, tmp_path: Path) -> None:
    """Without a commit on record equal hashes do; else the message says so, and which modules to put back."""
    step = next(one for one in reproduction_of(world).steps if one.job == "clean")
    assert step.recorded is not None
    outside = step.recorded.model_copy(update={"code": Commit()})
    with workbench(tmp_path, None, {}, keep=False) as bench:
        assert bench.code(outside, []).users[0] == world.products
    world.write("rules.py", CHANGED_RULES)
    with workbench(tmp_path, None, {}, keep=False) as bench, pytest.raises(MissingRecordError) as raised:
        bench.code(outside, [])
    was = outside.code_hashes[f"{world.name}.rules"]
    for part in (
        "no commit is on record of the code that clean ran",
        f"{world.name} was in no git repository",
        f"{world.name}.rules (recorded {was[:12]}, here ",
        "Put the files back as they were",
    ):
        assert part in str(raised.value)
    assert f"{world.name}.limits" not in str(raised.value)
    gone = outside.model_copy(update={"spec": outside.spec.model_copy(update={"product": "nobodys"})})
    with workbench(tmp_path, None, {}, keep=False) as bench, pytest.raises(MissingRecordError, match="--dags names"):
        bench.code(gone, [])


def test_an_unknown_version_names_the_known_ones(world: ShopWorld) -> None:
    """A mistyped number is refused with those that there are."""
    with pytest.raises(UnknownNameError, match=f"{world.name}@1"):
        reproduction_of(world, number=7)


def test_told_to_end_it_leaves_nothing(world: ShopWorld, tmp_path: Path) -> None:
    """A command that is ended while it works takes its folder and its processes with it."""
    done = command(world, "--work", str(tmp_path), "--json")
    assert done.stderr is not None
    folder = next(Path(line.split()[-1]) for line in done.stderr if "making it again in" in line)
    wait_for(lambda: in_folder(folder))
    done.send_signal(signal.SIGTERM)
    done.communicate(timeout=60)
    assert done.returncode == 128 + signal.SIGTERM
    assert not folder.exists()
    wait_for(lambda: not in_folder(folder))


def in_folder(folder: Path) -> list[int]:
    """Return the processes that keep their temporary files in a folder."""
    return [
        one.pid for one in psutil.process_iter(["environ"]) if (one.info["environ"] or {}).get("TMPDIR") == str(folder)
    ]


def wait_for(condition: Callable[[], object]) -> None:
    """Wait until something holds."""
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)
