"""Models that MLflow keeps, of code that needs little: their environment is made once for each checkout."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

ROOT = Path(__file__).parents[2]
#: Where tests have the environments of such models; nobody else's are touched.
CACHE = ROOT / "var" / "cache"
NEEDED = [f"{name}=={version(name)}" for name in ("mlflow-skinny", "numpy", "pandas", "scikit-learn")]
CODE = """
import mlflow
import numpy as np


class Line(mlflow.pyfunc.PythonModel):
    def predict(self, context, model_input, params=None):
        print("what a model prints is no answer")
        carrier = model_input["carrier"].astype(object).map({"AA": 1.0, "UA": 2.0}).fillna(0.0)
        line = model_input["wind"].fillna(0.0) * 2 + model_input["hour"] + carrier
        return LINE


mlflow.models.set_model(Line())
"""


def saved(folder: Path, gives: str = "line.to_numpy()", signature: object = None, needed: list[str] = NEEDED) -> Path:
    """Return the folder of a saved model, whose code it holds as text.

    :param gives: what it returns of its ``line``, a number a row.
    """
    import mlflow

    code = folder.with_name(f"{folder.name}.py")
    code.write_text(CODE.replace("LINE", gives))
    mlflow.pyfunc.save_model(folder, python_model=str(code), pip_requirements=needed, signature=signature)
    return folder
