"""What a model flavor has to keep, as tests."""

from __future__ import annotations

import pickle
from collections.abc import Mapping
from functools import cache
from importlib.metadata import packages_distributions
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.columns import Columns
from airflow_mlops_provider.backends.models.inputs import described, is_text
from airflow_mlops_provider.backends.tracking.mlflow.packing import pack_model
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, SourceDataError
from airflow_mlops_provider.extensions import FLAVORS
from airflow_mlops_provider.testing import fresh

#: Loads a model where nothing of it is in memory yet, and predicts; whatever unpickles a class on the way ends it.
_ANEW = """
import sys
from pathlib import Path
import pandas as pd
frame = pd.read_parquet(sys.argv[2])

def forbid(event, arguments):
    if event == "pickle.find_class" and not is_importing(sys._getframe()):
        raise SystemExit(f"it unpickles {arguments}")

def is_importing(frame):  # some libraries unpickle what they have just pickled, while they are imported
    while frame and not frame.f_code.co_filename.startswith("<frozen importlib"):
        frame = frame.f_back
    return frame is not None

from airflow_mlops_provider.backends.models import base
sys.addaudithook(forbid)
predicted = base.load(Path(sys.argv[1])).predict(frame).tobytes().hex()
print(predicted, *[name for name in sys.argv[3:] if name in sys.modules])
"""

#: Applies a packed model as MLflow's servers do, where no module of ours is installed if the model carries its code.
_BY_MLFLOW = """
import os, sys
os.chdir(os.path.dirname(sys.argv[1]))  # in which MLflow may make a database
import mlflow.pyfunc
import pandas as pd
from mlflow.models import Model
from mlflow.pyfunc import FLAVOR_NAME

class Missing:
    @staticmethod
    def find_spec(name, path=None, target=None):
        if name.partition(".")[0] == "airflow_mlops_provider":
            raise ModuleNotFoundError(f"No module named {name!r}: it is blocked", name=name)

if Model.load(sys.argv[1]).flavors[FLAVOR_NAME].get("code"):
    sys.meta_path.insert(0, Missing)
print(mlflow.pyfunc.load_model(sys.argv[1]).predict(pd.read_parquet(sys.argv[2])).tobytes().hex(), flush=True)
os._exit(0)  # threads of native libraries may abort a process that ends by itself
"""


def plain(features: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return what a model takes as anybody's request has it: text, or float64.

    :param folder: holds the model.
    """
    types = {entry["name"]: object if is_text(entry) else "float64" for entry in described(folder)["inputs"]}
    return features[[*types]].astype(types)


async def _later() -> None:
    """Stand for an ``async`` trainer."""


#: What trainers return by mistake, made anew for each test.
_MISTAKES = {
    "nothing": lambda: None,
    "metrics": lambda: {"auc": 0.9},
    "predictions": lambda: np.zeros(3),
    "a table": lambda: pd.DataFrame({"prediction": [0.5]}),
    "where it lies": lambda: "var/no_such_model",
    "a path": lambda: Path("var/no_such_model"),
    "a pickle": lambda: pickle.dumps({"model": 1}),
    "a function": lambda: lambda rows: rows,
    "a coroutine": _later,
    "a generator": lambda: (number for number in range(3)),
    "a class": lambda: dict,
    "anything": object,
}


class FlavorContract:
    """What a flavor keeps. Override :attr:`flavor`, :meth:`model` and :meth:`features`."""

    #: The name by which a trainer declares it.
    flavor: str

    @pytest.fixture
    def features(self) -> pd.DataFrame:
        """Some rows of what the model was trained on: at least five, of which no two are predicted the same."""
        raise NotImplementedError

    @pytest.fixture
    def model(self, features: pd.DataFrame) -> Any:
        """A model as a trainer returns it, the same each time."""
        raise NotImplementedError

    @pytest.fixture
    def saved(self, model: Any, features: pd.DataFrame, tmp_path: Path) -> Path:
        """The folder in which the model is kept."""
        models.save(model, tmp_path / "saved", self.flavor, features)
        return tmp_path / "saved"

    @pytest.fixture
    def untrained(self) -> list[Any]:
        """Things of its library that look like models, and were never trained; none where there are no such."""
        return []

    def test_looking_it_up_loads_no_library(self) -> None:
        """Trainers are declared where DAGs are parsed: that costs no import of numpy, pandas or its own library."""
        libraries = modules_of(models.flavor_of(self.flavor).to_train)
        assert fresh.loaded_by_finding("FLAVORS", self.flavor, "numpy", "pandas", *libraries) == []

    def test_the_same_model_has_the_same_files(
        self, model: Any, features: pd.DataFrame, saved: Path, tmp_path: Path
    ) -> None:
        """Byte for byte: a training that is done again makes the same result."""
        models.save(model, tmp_path / "again", self.flavor, features)
        for file in saved.rglob("*"):
            assert file.is_dir() or file.read_bytes() == (tmp_path / "again" / file.relative_to(saved)).read_bytes()

    def test_loaded_elsewhere_it_predicts_the_same_bits(
        self, saved: Path, features: pd.DataFrame, tmp_path: Path
    ) -> None:
        """In another process, from its files alone, without unpickling anything, or loading others' libraries."""
        features.to_parquet(tmp_path / "features.parquet")
        here = models.load(saved).predict(features)
        assert str(here.dtype) == "float64"
        assert here.shape[0] == len(features)
        assert here.ndim in {1, 2}
        assert len(np.unique(here, axis=0)) == len(here), "the fixture's rows must be told apart"
        own = modules_of(models.flavor_of(self.flavor).to_predict)
        others = {module for name in FLAVORS.builtin for module in modules_of(models.flavor_of(name).to_predict)}
        # scikit-learn is loaded by other libraries than its own.
        others -= {*own, "sklearn"}
        there = fresh.output(_ANEW, str(saved), str(tmp_path / "features.parquet"), *sorted(others))
        assert there.split() == [here.tobytes().hex()]

    def test_a_row_is_predicted_the_same_alone(self, saved: Path, features: pd.DataFrame) -> None:
        """To the bit, whatever rows are beside it and however columns are ordered: REST and batch agree."""
        loaded = models.load(saved)
        whole = loaded.predict(features)
        shuffled = features[features.columns[::-1]].iloc[::-1].assign(unknown_column=1.0)
        np.testing.assert_array_equal(loaded.predict(shuffled), whole[::-1])
        for row in range(len(features)):
            np.testing.assert_array_equal(loaded.predict(features.iloc[[row]])[0], whole[row])
        assert loaded.predict(features.iloc[:0]).shape == (0, *whole.shape[1:])
        np.testing.assert_array_equal(loaded.predict(Columns.of(shuffled)), whole[::-1])

    def test_mlflow_applies_it_the_same(self, saved: Path, features: pd.DataFrame, tmp_path: Path) -> None:
        """MLflow's own loader gives the same bits; without this package, but for a flavor that a distribution has."""
        rows, packed = plain(features, saved), tmp_path / "packed"
        rows.to_parquet(tmp_path / "rows.parquet")
        pack_model(saved, packed, self.flavor, model_id="m-0", run_id="0")
        ours = models.load(saved).predict(rows)
        assert fresh.output(_BY_MLFLOW, str(packed), str(tmp_path / "rows.parquet")) == ours.tobytes().hex()

    def test_a_missing_input_is_named(self, saved: Path, features: pd.DataFrame) -> None:
        """Whoever gives rows without a column that the model needs learns which."""
        takes = [entry["name"] for entry in described(saved)["inputs"]]
        with pytest.raises(SourceDataError, match=takes[0]):
            models.load(saved).predict(features.drop(columns=takes[0]))

    def test_what_is_damaged_is_refused(self, saved: Path) -> None:
        """A file that is cut short, changed or missing is an integrity error, and no crash or other model."""
        for file in sorted(path for path in saved.rglob("*") if path.is_file()):
            data = file.read_bytes()
            for damage in (data[: len(data) // 2], data[:-2] + bytes(byte ^ 1 for byte in data[-2:]), None):
                file.unlink() if damage is None else file.write_bytes(damage)
                with pytest.raises(IntegrityError):
                    models.load(saved)
            file.write_bytes(data)
        models.load(saved)

    @pytest.mark.parametrize("mistake", _MISTAKES)
    def test_what_is_no_model_is_refused(self, mistake: str, features: pd.DataFrame, tmp_path: Path) -> None:
        """What a trainer returns by mistake is named, with what the flavor takes; no retry helps, nothing is kept."""
        if lacking := models.missing(models.flavor_of(self.flavor).to_train):
            pytest.skip(f"not installed: {', '.join(lacking)}")
        with pytest.raises(ConfigurationError, match=f"flavor '{self.flavor}' takes") as refused:
            models.save(_MISTAKES[mistake](), tmp_path / "wrong", self.flavor, features)
        assert not refused.value.retryable
        assert not (tmp_path / "wrong").exists()

    def test_a_model_among_other_things_is_pointed_out(
        self, model: Any, features: pd.DataFrame, tmp_path: Path
    ) -> None:
        """Whoever returns a model and its metrics learns to return the model alone, and where the metrics go."""
        for wrong, where in (
            ((model, {"auc": 0.9}), r"return its part \[0\] alone.*`metrics`"),
            ({"model": model, "auc": 0.9}, r"return its part \['model'\] alone"),
            ([0.9, model], r"return its part \[1\] alone"),
            (type(model), "returned the class .* itself, .*return an instance"),
        ):
            with pytest.raises(ConfigurationError, match=where):
                models.save(wrong, tmp_path / "wrong", self.flavor, features)
        assert not (tmp_path / "wrong").exists()

    def test_what_was_not_trained_is_refused(
        self, untrained: list[Any], features: pd.DataFrame, tmp_path: Path
    ) -> None:
        """A model that learnt nothing is named when it is kept, not when it shall predict."""
        for model in untrained:
            with pytest.raises(ConfigurationError, match=r"was not (trained|fitted)"):
                models.save(model, tmp_path / "wrong", self.flavor, features)
            assert not (tmp_path / "wrong").exists()


def modules_of(distributions: tuple[str, ...]) -> list[str]:
    """Return the top modules of some distributions, as far as these are installed."""
    return [name for name, brought_by in _modules().items() if {*brought_by} & {*distributions}]


@cache  # it reads the metadata of all that is installed
def _modules() -> Mapping[str, list[str]]:
    return packages_distributions()
