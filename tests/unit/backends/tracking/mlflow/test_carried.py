"""The code that a model carries: the modules that apply it, importing each other from inside of their own package."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

from airflow_mlops_provider.backends.tracking.mlflow.carried import carry
from airflow_mlops_provider.testing import fresh

CODE = {
    "plain_flavors/__init__.py": "",
    "plain_flavors/kinds.py": """
        from __future__ import annotations
        from typing import TYPE_CHECKING
        import plain_flavors.numbers, json
        import plain_flavors.words as words
        from .near import NEAR
        from airflow_mlops_provider.backends.models.base import Flavor
        if TYPE_CHECKING:
            from plain_flavors.unused import Unused

        class Plain(Flavor):
            takes, words = (), ""
            save = None

            def load(self, folder):
                from plain_flavors import late
                return [NEAR, plain_flavors.numbers.ONE, words.WORD, late.LATE, json.dumps(1)]

            def predict(self, model, frame):
                return model
        """,
    "plain_flavors/near.py": "NEAR = 'near'",
    "plain_flavors/numbers.py": "ONE = 1",
    "plain_flavors/words.py": "WORD = 'word'",
    "plain_flavors/late.py": "LATE = 'late'",
    "plain_flavors/unused.py": "raise AssertionError",
    "plain_flavors/other.py": "import airflow",
}
FLAVOR = "plain_flavors.kinds:Plain"
#: Loads a model by what it carries, where neither the provider nor the flavor's own package can be imported.
LOAD = """
import importlib, sys
sys.path[:] = [sys.argv[1], *[folder for folder in sys.path if "site-packages" in folder or "lib/python" in folder]]

class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] in {"airflow_mlops_provider", "plain_flavors"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, Missing)
print(importlib.import_module(sys.argv[2])._load_pyfunc(sys.argv[3]).model.model)
"""


@pytest.fixture
def users(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A folder on the path with a package that holds a flavor."""
    for name, text in CODE.items():
        file = tmp_path / "users" / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(textwrap.dedent(text))
    monkeypatch.syspath_prepend(str(tmp_path / "users"))
    yield tmp_path / "users"
    for module in [name for name in sys.modules if name.partition(".")[0] == "plain_flavors"]:
        del sys.modules[module]


def carried(folder: Path) -> set[str]:
    """Return the modules that a folder has, of the flavor's package."""
    return {file.stem for file in folder.glob("*/plain_flavors/*.py")}


def test_a_flavor_of_the_users_own_is_carried(users: Path, tmp_path: Path) -> None:
    """With all that it imports, however it says so, and nothing else; it runs where none of that is installed."""
    module = carry(FLAVOR, tmp_path / "code")
    assert carried(tmp_path / "code") == {"__init__", "kinds", "near", "numbers", "words", "late"}
    (tmp_path / "model.json").write_text(f'{{"flavor": "{FLAVOR}"}}')
    assert fresh.output(LOAD, str(tmp_path / "code"), module, str(tmp_path)) == "['near', 1, 'word', 'late', '1']"


def test_other_code_is_another_package(users: Path, tmp_path: Path) -> None:
    """The same code has the same name, so that a process has it once; other code does not come in its place."""
    first = carry(FLAVOR, tmp_path / "first")
    assert carry(FLAVOR, tmp_path / "again") == first
    (users / "plain_flavors" / "near.py").write_text("NEAR = 'far'")
    assert carry(FLAVOR, tmp_path / "other") != first
    files = [
        [file.relative_to(tmp_path / name) for file in (tmp_path / name).rglob("*")] for name in ("first", "again")
    ]
    assert sorted(files[0]) == sorted(files[1])


def test_ours_carries_what_applies_it_alone(tmp_path: Path) -> None:
    """Neither other flavors nor anything of jobs, DAGs or storage."""
    carry("lightgbm", tmp_path)
    (ours,) = tmp_path.glob("*/airflow_mlops_provider")
    assert {file.name for file in ours.iterdir()} == {"__init__.py", "backends", "exceptions.py", "extensions.py"}
    rooms = {file.stem for file in (ours / "backends").iterdir()}
    assert rooms == {"__init__", "environment", "models", "tracking"}
    assert not [*ours.rglob("torch.py"), *ours.rglob("client.py")]
