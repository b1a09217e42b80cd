"""What a model flavor has to keep, as tests."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from airflow_mlops_provider.backends.models import base as models
from airflow_mlops_provider.backends.models.inputs import described, is_text
from airflow_mlops_provider.backends.tracking.mlflow.packing import pack_model
from airflow_mlops_provider.exceptions import ConfigurationError, IntegrityError, SourceDataError
from airflow_mlops_provider.testing import fresh

#: Loads a model where nothing of it is in memory yet, and predicts; whatever unpickles a class on the way ends it.
_ANEW = """
import sys
from pathlib import Path
import pandas as pd
frame = pd.read_parquet(sys.argv[2])

def forbid(event, arguments):
    if event == "pickle.find_class":
        raise SystemExit(f"it unpickles {arguments}")

from airflow_mlops_provider.backends.models import base
sys.addaudithook(forbid)
print(base.load(Path(sys.argv[1])).predict(frame).tobytes().hex())
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
print(mlflow.pyfunc.load_model(sys.argv[1]).predict(pd.read_parquet(sys.argv[2])).tobytes().hex())
"""


def plain(features: pd.DataFrame, folder: Path) -> pd.DataFrame:
    """Return what a model takes as anybody's request has it: text, or float64.

    :param folder: holds the model.
    """
    types = {entry["name"]: object if is_text(entry) else "float64" for entry in described(folder)["inputs"]}
    return features[[*types]].astype(types)


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

    def test_looking_it_up_loads_no_library(self) -> None:
        """Trainers are declared where DAGs are parsed: that costs no import of numpy, pandas or its own library."""
        libraries = [name.replace("-", "_") for name in models.flavor_of(self.flavor).to_train]
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
        """In another process, from its files alone, and without unpickling anything."""
        features.to_parquet(tmp_path / "features.parquet")
        here = models.load(saved).predict(features)
        assert str(here.dtype) == "float64"
        assert here.shape == (len(features),)
        assert len(set(here)) == len(here), "the fixture's rows must be told apart"
        assert fresh.output(_ANEW, str(saved), str(tmp_path / "features.parquet")) == here.tobytes().hex()

    def test_a_row_is_predicted_the_same_alone(self, saved: Path, features: pd.DataFrame) -> None:
        """To the bit, whatever rows are beside it and however columns are ordered: REST and batch agree."""
        loaded = models.load(saved)
        whole = loaded.predict(features)
        shuffled = features[features.columns[::-1]].iloc[::-1].assign(unknown_column=1.0)
        np.testing.assert_array_equal(loaded.predict(shuffled), whole[::-1])
        for row in range(len(features)):
            assert loaded.predict(features.iloc[[row]])[0] == whole[row]
        assert loaded.predict(features.iloc[:0]).shape == (0,)

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
            for damage in (data[: len(data) // 2], data[:-2] + b"\0\0", None):
                file.unlink() if damage is None else file.write_bytes(damage)
                with pytest.raises(IntegrityError):
                    models.load(saved)
            file.write_bytes(data)
        models.load(saved)

    @pytest.mark.usefixtures("model")  # whose library is there
    def test_what_is_no_model_is_refused(self, features: pd.DataFrame, tmp_path: Path) -> None:
        """What a trainer returns by mistake is named, with what the flavor takes, and nothing is written."""
        for wrong in (None, {"model": 1}, object()):
            with pytest.raises(ConfigurationError, match=f"flavor '{self.flavor}' takes"):
                models.save(wrong, tmp_path / "wrong", self.flavor, features)
        assert not (tmp_path / "wrong").exists()
