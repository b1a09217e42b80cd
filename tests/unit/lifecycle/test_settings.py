"""The settings file: what it refuses, what it is the same for, and what a change of it makes run again."""

from __future__ import annotations

import subprocess
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.records.spec import Services
from airflow_mlops_provider.lifecycle.sections import Trainer
from airflow_mlops_provider.lifecycle.settings import (
    FILE,
    Provenance,
    TrainerSettings,
    branch_of,
    changes,
    checked_branch,
    checked_path,
)
from airflow_mlops_provider.runtime.address import address
from airflow_mlops_provider.runtime.definition import all_jobs
from flight_delay import product as flights
from tests.factories.declared import changed, specify
from tests.factories.tiny import TinyWorld

JOBS = {name: job for name, job in all_jobs().items() if job.settings.declared}
PROVENANCE = Provenance(
    study="s1", trial=4, metric="roc_auc", value=0.71, when=datetime(2024, 1, 2, tzinfo=UTC), by="d/r/t"
)
FIXED: dict[str, Any] = {"code": "shop.trainer:train", "settings": {"rounds": 40, "rate": 0.1, "kind": "gbdt"}}


def test_a_file_gives_back_what_was_written(tmp_path: Path) -> None:
    """Values survive the file, floats to the bit, and the same values make the same bytes."""
    settings = TrainerSettings(**FIXED | {"settings": {"rate": 0.1 + 0.2, "name": "ä"}}, provenance=PROVENANCE)
    file = tmp_path / FILE
    file.write_text(settings.text())
    assert TrainerSettings.read(file) == settings
    assert TrainerSettings.read(file).text() == file.read_text()
    turned = TrainerSettings(**{name: FIXED[name] for name in reversed(FIXED)})
    assert turned.text() == TrainerSettings(**FIXED).text()
    assert turned.text().endswith("}\n")


def test_the_reference_product_is_made_from_its_file() -> None:
    """The flight product's trainer is what lies beside it, in the form in which an export would write it."""
    file = Path(flights.__file__).with_name(FILE)
    settings = TrainerSettings.read(file)
    assert flights.product.training.trainer == settings.trainer()
    assert type(flights.product.training.trainer) is Trainer
    assert settings.text() == file.read_text()


BAD = {
    "no JSON": ('{"code": ', r"is no valid JSON: Expecting value: line 1"),
    "no object": ("[1]", "the file: Input should be a valid dictionary"),
    "no code": ("{}", "code: Field required"),
    "code that is no function": ('{"code": "trainer"}', "code.name: String should match pattern"),
    "unknown field": ('{"code": "a:b", "settngs": {}}', "settngs: Extra inputs are not permitted"),
    "unknown flavor": ('{"code": "a:b", "flavor": "pickle"}', "unknown model flavor 'pickle'; known: catboost, light"),
    "settings that are a list": ('{"code": "a:b", "settings": []}', "settings: Input should be a valid dictionary"),
    "no number": ('{"code": "a:b", "settings": {"rate": NaN}}', "settings: .*setting 'rate' is nan, which is no JSON"),
    "a seed that is none": ('{"code": "a:b", "seed": -1}', "seed: Input should be greater than or equal to 0"),
    "a seed beyond all": ('{"code": "a:b", "seed": 2147483648}', "seed: Input should be less than 2147483648"),
    "a seed that is text": ('{"code": "a:b", "seed": "13"}', "seed: Input should be a valid integer"),
    "too great": ('{"code": "a:b", "settings": {"rate": 1e999}}', "setting 'rate' is inf, which is no JSON"),
    "twice": ('{"code": "a:b", "seed": 1, "seed": 2}', "given twice: seed"),
    "half a provenance": ('{"code": "a:b", "provenance": {"study": "s"}}', r"provenance\.trial: Field required"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_file_is_named_with_its_field(name: str, tmp_path: Path) -> None:
    """What cannot be read says which file, which field, and what is wrong."""
    text, said = BAD[name]
    file = tmp_path / FILE
    file.write_text(text)
    with pytest.raises(ConfigurationError, match=said) as raised:
        TrainerSettings.read(file)
    assert str(raised.value).startswith(str(file))


@pytest.mark.parametrize("value", [float("nan"), {"deep": [1, float("inf")]}, np.int64(3), {1, 2}, len, b"gbdt"])
def test_a_declared_setting_that_is_no_json_is_named(value: Any) -> None:
    """A setting that could not travel is refused where it is declared, by its name, and not when a job is sent off."""
    with pytest.raises(ValidationError, match=r"setting 'rate' is .*, which is no JSON \("):
        Trainer(code="shop.trainer:train", settings={"rounds": 40, "rate": value})


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    """A file that is not there, or is no text, is an error of ours."""
    with pytest.raises(ConfigurationError, match=r"nowhere\.json cannot be read"):
        TrainerSettings.read(tmp_path / "nowhere.json")
    (tmp_path / FILE).write_bytes(b"\xff\xfe")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        TrainerSettings.read(tmp_path / FILE)


def test_where_settings_were_found_trains_nothing_anew(tmp_path: Path) -> None:
    """A merged change of the file moves training, retuning and the next search alone; another origin moves nothing."""
    world = TinyWorld(tmp_path)
    try:
        product = world.product
        world.write("searched.py", "")

        def addresses(settings: TrainerSettings) -> dict[str, str]:
            algorithm = {"name": "trees", "code": f"{world.name}.searched:train"}
            declared = changed(product, {"training.trainer": settings.trainer(), "search": {"algorithms": [algorithm]}})
            services = Services(landing="", mlflow="")
            return {name: address(specify(name, declared, root=str(world.root), services=services)) for name in JOBS}

        fixed = TrainerSettings(**product.training.trainer.to_json())
        before = addresses(fixed)
        assert addresses(fixed.model_copy(update={"provenance": PROVENANCE})) == before
        after = addresses(fixed.model_copy(update={"settings": {"rounds": 41}}))
    finally:
        world.close()
    assert {name for name in JOBS if before[name] != after[name]} == {"train", "retune", "search"}


def test_a_products_file_is_its_trainer(tmp_path: Path) -> None:
    """A product that reads the file trains with what it says; a broken one stops the product, naming the file."""
    world = TinyWorld(tmp_path)
    try:
        text = (world.package / "product.py").read_text()
        declared = text.replace(
            f'trainer=Trainer(code="{world.name}.trainer:train", requires=("lightgbm", "numpy"))',
            'trainer=TrainerSettings.read(Path(__file__).with_name("settings.json")).trainer()',
        )
        assert declared != text
        head = "from pathlib import Path\nfrom airflow_mlops_provider.lifecycle.settings import TrainerSettings\n"
        world.write("product.py", head + declared)
        file = world.write(FILE, "{}")
        with pytest.raises(ConfigurationError, match=str(file)):
            _ = world.product
        file.write_text(TrainerSettings(code=f"{world.name}.trainer:train", settings={"rounds": 7}).text())
        assert world.product.training.trainer.settings == {"rounds": 7}
    finally:
        world.close()


def test_changes_are_told_field_by_field() -> None:
    """What differs is named with both values; what is as it was is left out."""
    old = Trainer(**FIXED)
    new = old.model_copy(update={"seed": 7, "settings": {"rounds": 60, "rate": 0.1, "depth": 3}})
    assert changes(old, new) == [
        ("seed", 13, 7),
        ("settings.depth", None, 3),
        ("settings.kind", "gbdt", None),
        ("settings.rounds", 40, 60),
    ]
    assert changes(old, old) == []


def test_a_fingerprint_is_the_exports_own() -> None:
    """When and by whom does not make another export; other settings, or another try, do."""
    base = TrainerSettings(**FIXED, provenance=PROVENANCE)
    again = base.model_copy(
        update={"provenance": PROVENANCE.model_copy(update={"by": "x", "when": datetime(2025, 1, 1, tzinfo=UTC)})}
    )
    other = base.model_copy(update={"provenance": PROVENANCE.model_copy(update={"trial": 5})})
    changed = base.model_copy(update={"settings": {}})
    assert base.fingerprint == again.fingerprint
    assert len({base.fingerprint, other.fingerprint, changed.fingerprint}) == 3


STUDIES = ["plain", "manual__2026-11-23T07:20:00+00:00", "..", "a.lock", "ä/../b", "x" * 300, "", "-x", "@{u}", "a b\n"]


@pytest.mark.parametrize("study", STUDIES)
def test_a_study_makes_a_branch_that_git_takes(study: str) -> None:
    """Whatever a study is called, its branch is a name that git accepts, and always the same."""
    branch = branch_of("flight_delay", study)
    assert branch == branch_of("flight_delay", study)
    assert branch.startswith("mlops/flight_delay/")
    subprocess.run(["git", "check-ref-format", f"refs/heads/{branch}"], check=True)


def test_no_two_studies_share_a_branch() -> None:
    """Names that are bent to the same words stay apart."""
    assert len({branch_of("p", study) for study in ["a:b", "a/b", "a b", "a-b"]}) == 4
    assert branch_of("p", "study_1") == "mlops/p/study_1"


@pytest.mark.parametrize(
    "name",
    [
        "",
        "-x",
        "a..b",
        "a b",
        "a/",
        "/a",
        "a//b",
        "a.lock",
        "a/.b",
        "a@{1}",
        "a~1",
        "a:b",
        "a\nb",
        "a.",
        "--upload-pack=x",
    ],
)
def test_what_is_no_branch_is_refused(name: str) -> None:
    """A base branch that git would refuse, or read as something else, is refused with the characters to use."""
    with pytest.raises(ConfigurationError, match="use letters, digits"):
        checked_branch(name)


@pytest.mark.parametrize("path", ["../x", "a/../../x", ".git", "a/.GIT/hooks", "a\nb", "a\\b", "C:/x"])
def test_a_path_out_of_the_repository_is_refused(path: str) -> None:
    """A folder that would leave the repository, or enter git's own, is refused."""
    with pytest.raises(ConfigurationError, match="no folder inside a repository"):
        checked_path(path)


def test_a_path_has_one_form() -> None:
    """Slashes around a path, and dots that mean nothing, make no other path."""
    assert checked_path("/dags/./flight_delay/") == checked_path("dags/flight_delay") == "dags/flight_delay"
    assert checked_path("") == checked_path(".") == ""
