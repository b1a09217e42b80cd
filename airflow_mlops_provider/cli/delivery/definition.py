"""The commands of this room; their work is imported when they are called."""

from __future__ import annotations

from pathlib import Path

from airflow.cli.cli_config import Arg

from airflow_mlops_provider.cli.arguments import ARG_OWN_DAGS, described

#: The steps in their order: a repository's DAG files, each product, and the image. Workflows have them by these names.
STEPS = ("dags", "declaration", "data", "model", "serving", "image")
TEMPLATES = {"github": ".github/workflows/mlops.yml", "gitlab": ".gitlab-ci.yml", "jenkins": "Jenkinsfile"}


COMMANDS = (
    described(
        "check",
        "Run the steps of a product repository's CI here: DAG files, declaration, data, model, serving, image",
        Arg(("products",), nargs="*", metavar="PRODUCT", help="the products (default: all that are found)"),
        ARG_OWN_DAGS,
        Arg(("--landing",), metavar="ROOT", help="sample deliveries, of as many intervals as a training takes"),
        Arg(("--only",), action="append", choices=STEPS, help="this step, with what it needs; may be repeated"),
        Arg(("--dockerfile",), help="the image's (default: Dockerfile, docker/Dockerfile)", type=Path),
        Arg(("--work",), metavar="FOLDER", help="keep results here; what is done is found again", type=Path),
        more="dags: each file is parsed. declaration: it holds. data: expectations and leakage probe on the "
        "sample. model: training, and the product's gates. serving: a server loads the version, and answers as "
        "batch does. image: it is built. All runs in a folder of its own with an MLflow of its own: no record, "
        "ledger or server of yours is touched. A line for each step, with seconds; one that can't run here is "
        "skipped and says why. If a step is red, exit status 1, and the last line names it.",
        examples=("airflow mlops check", "airflow mlops check bikes --landing sample --only data --only model"),
    ),
    described(
        "ci",
        "Write the workflow of a product repository for the team's CI, with the steps of `check`",
        Arg(("template",), choices=tuple(TEMPLATES), help="whose workflow"),
        Arg(("--to",), metavar="FOLDER", help="the repository (default: this folder)", type=Path, default=Path()),
        Arg(("--force",), help="replace a file that is there", action="store_true"),
        more="Each step is called as in `airflow mlops check`, and what is green on the default branch is pushed "
        "as an image, whose digest is kept. The file's head says what to fill in. It holds no secret.",
        examples=("airflow mlops ci github", "airflow mlops ci jenkins --to ../bikes"),
    ),
)
