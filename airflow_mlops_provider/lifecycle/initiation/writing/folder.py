"""The files of a product's folder, and the DAG file beside it."""

from __future__ import annotations

from airflow_mlops_provider.lifecycle.initiation.writing.declaration import declaration
from airflow_mlops_provider.lifecycle.initiation.writing.declared import Declared
from airflow_mlops_provider.lifecycle.initiation.writing.expected import expected
from airflow_mlops_provider.lifecycle.initiation.writing.python import comment
from airflow_mlops_provider.lifecycle.initiation.writing.rules import rules
from airflow_mlops_provider.lifecycle.initiation.writing.trainer import trainer

#: The DAG file: the pipelines of all products beside it.
DAG_FILE = "pipelines.py"
PIPELINES = '''"""The pipelines of each product beside this file, a line each."""

from airflow_mlops_provider import MLOpsDag
from airflow_mlops_provider.pipelines import products

for product in products(__file__):
    for pipeline in ("feature_engineering", "training", "deployment", "batch_inference", "monitoring"):
        MLOpsDag(product, pipeline)
'''


def folder(declared: Declared, *, decide: bool, url: bool = False, port: int | None = None) -> dict[str, str]:
    """Return each file's text by its name.

    :param decide: whether nobody has agreed to what is proposed yet. :param url: whether the data came of a database.
    :param port: the model server's, where the usual one is another product's.
    """
    files = {
        "__init__.py": f'"""{_docstring(declared.proposal.goal)}"""\n',
        "product.py": declaration(declared, decide=decide, url=url, port=port),
        "trainer.py": trainer(declared),
        "rules.py": rules(declared),
        "expectations.py": expected(declared) if declared.proposal.expectations else "",
    }
    return {name: text for name, text in files.items() if text}


def _docstring(goal: str) -> str:
    """Return a goal as it may stand in a docstring."""
    plain = goal.replace("\\", " ").replace('"', "'")
    return comment(plain).replace("# ", "", 1).replace("\n# ", "\n").strip()
