"""What ``airflow mlops`` offers; the work is imported when a command is called."""

from __future__ import annotations

from pathlib import Path

from airflow.cli.cli_config import Arg, CLICommand, GroupCommand

from airflow_mlops_provider.cli.arguments import (
    ARG_DAGS,
    ARG_HOME,
    ARG_JSON,
    ARG_OWN_DAGS,
    ARG_PORT,
    ARG_PRODUCT,
    ARG_ROOT,
    ARG_SERVING_PORT,
    HERE,
    HOME,
    MAX_MONTHS,
    RECORDED,
    described,
    integer,
    port,
)
from airflow_mlops_provider.cli.delivery.definition import COMMANDS as DELIVERY
from airflow_mlops_provider.cli.release.definition import COMMANDS as RELEASE
from airflow_mlops_provider.demo import MLFLOW_PORT


def get_mlops_cli_commands() -> list[CLICommand]:
    """Return the commands that the provider adds to Airflow's own."""
    return [
        GroupCommand(name="mlops", help="The whole MLOps loop: products, models, and a local demo", subcommands=_ALL)
    ]


_LEDGER = (
    described(
        "verify",
        "Show whether the ledgers are whole, and server, pointer and MLflow agree with them",
        Arg(("product",), nargs="?", help="the product's name (default: every product)"),
        ARG_JSON,
        more="The chain, its head and copies in MLflow, each entry's record and report, each version's model, aliases, "
        "pointer and model server are compared. Each damage is named with its entry and what to do next (exit status "
        "1). Nothing is changed, but that MLflow gets copies of the entries of a whole ledger where it has none.",
        examples=("airflow mlops ledger verify", "airflow mlops ledger verify flight_delay --json"),
        group="ledger_",
    ),
    described(
        "repair",
        "Bring a product's ledger back from the copies in MLflow, byte for byte",
        ARG_PRODUCT,
        Arg(("--reason",), help="why, for the record", required=True),
        more="Entries that are gone or were changed are restored, what does not belong there is moved aside, below "
        "repairs/ of the product. If MLflow's copies are not whole, nothing is changed. Who did it, when, why and what "
        "is kept there and in MLflow, and shown by `airflow mlops history`. Begun and killed, it is run again.",
        examples=('airflow mlops ledger repair flight_delay --reason "somebody edited the bucket"',),
        group="ledger_",
    ),
)
_ALL = (
    described(
        "products",
        "List the products that are found, with goal and owner",
        ARG_OWN_DAGS,
        ARG_JSON,
        more="A product is a folder with a product.py in a DAG folder of the Airflow in AIRFLOW_HOME, or in "
        "AIRFLOW__MLOPS__PRODUCTS_FOLDERS. One that cannot be used is named with file and line (exit status 1).",
        examples=("airflow mlops products", "airflow mlops products --dags my/dags --json"),
    ),
    described(
        "show",
        "Show a product's declaration with every default",
        ARG_PRODUCT,
        ARG_OWN_DAGS,
        ARG_JSON,
        more="A line for each field: what product.py says, and what holds where it says nothing.",
        examples=("airflow mlops show flight_delay", "airflow mlops show bikes --dags my/dags --json"),
    ),
    described(
        "doctor",
        "Show which rows of the checklist of MLOps this installation can show now, with the evidence",
        Arg(("--product",), help="look at this product alone"),
        Arg(("--html",), metavar="FILE", help="also write the rows as a page into this file", type=Path),
        Arg(("--write",), help="instead, write stack.toml beside the DAGs, of what is there", action="store_true"),
        ARG_OWN_DAGS,
        ARG_JSON,
        more="Records, services, repository and Airflow's database are looked at, at once and for a minute at "
        "most; nothing is created or changed by it. A row is green if it was seen working, yellow if it is configured "
        "and was not, or only partly, seen, red if a check failed or a component is off, and grey if this release "
        "can't show it. Each says what was looked at and what to do next. stack.toml, the stack decision, is compared "
        "with what is installed and configured. If a row is red, exit status 1.",
        examples=(
            f"AIRFLOW_HOME={HOME} airflow mlops doctor",
            "airflow mlops doctor --product flight_delay --html doctor.html",
            "airflow mlops doctor --write",
        ),
    ),
    *RELEASE,
    described(
        "feedback",
        "Show the open requests to a product's data engineer, or answer one",
        ARG_PRODUCT,
        Arg(("--close",), metavar="REQUEST", help="answer this request, which takes it off the list"),
        Arg(("--answer",), help="with --close: what was done, such as a commit (default: done)"),
        ARG_JSON,
        more="Requests come from experiments: a person's, by the pipeline's form, and those of a search itself.",
        examples=(
            "airflow mlops feedback flight_delay",
            "airflow mlops feedback flight_delay --close REQUEST --answer 'wind is delivered since June'",
        ),
    ),
    described(
        "lineage",
        "Show all that a model version was made of, or the versions that some data was used for",
        Arg(("model",), nargs="?", metavar="PRODUCT@VERSION", help="a model version, such as flight_delay@1"),
        Arg(
            ("--dataset",),
            metavar="HASH",
            help="instead, any dataset on record (raw, clean, features, training set, ...), by the start of its hash",
        ),
        Arg(("--file",), help="instead, a delivered file: the file itself, its name, or the start of its SHA-256"),
        ARG_ROOT,
        Arg(("--graph",), metavar="FILE", help="draw the version into this SVG file", type=Path),
        ARG_JSON,
        examples=(
            f"AIRFLOW_HOME={HOME} airflow mlops lineage flight_delay@2 --graph lineage.svg",
            f"AIRFLOW_HOME={HOME} airflow mlops lineage --file flights/2013-03.csv",
        ),
    ),
    described(
        "dossier",
        "Write all that is on record of a model version into a folder, ordered by Annex IV of the EU AI Act",
        Arg(("version",), metavar="PRODUCT@VERSION", help="a model version, such as flight_delay@1"),
        Arg(("--to",), metavar="FOLDER", help="a new folder", required=True, type=Path),
        Arg(
            ("--with",),
            dest="documents",
            metavar="FOLDER",
            help="documents of your own, each named by its point: 5.pdf, 2e-oversight.pdf",
            type=Path,
        ),
        ARG_ROOT,
        more="An index page with each point of the annex: what the records say to it, or that it is not recorded, and "
        "what would record it. With model card, CycloneDX bill of materials, provenance, signature, ledger, reports, "
        "manifests, and the SHA-256 of each file.",
        examples=(f"AIRFLOW_HOME={HOME} airflow mlops dossier flight_delay@2 --to dossier",),
    ),
    described(
        "stale",
        "Show which data of a product stand on others that came late or were corrected, and why",
        ARG_PRODUCT,
        Arg(("--remake",), help="run again what is stale, the oldest interval first", action="store_true"),
        ARG_JSON,
        more="By the records: each interval's data say of which others they were made. Below are intervals that the "
        "live version learned from as they were before. --remake clears runs in the database of the Airflow that "
        "AIRFLOW_HOME names, and its scheduler runs them again: only the oldest where the product has "
        "features.remake_stale, as each run's last task goes on with the next, else all. A run that is on its way is "
        "left alone; one of another Airflow is only named. If none could be cleared, exit status 1.",
        examples=("airflow mlops stale flight_delay", "airflow mlops stale flight_delay --remake"),
    ),
    described(
        "forget",
        "Take all rows of an entity out of what is kept, and show that none is left",
        Arg(("entities",), nargs="*", metavar="ENTITY", help="customer=4711, or order=7,line=2; several are several"),
        Arg(("--file",), help="a file with an entity on each line; - for standard input"),
        Arg(("--product",), action="append", default=[], help="of this product (default: each that has such a column)"),
        Arg(("--reason",), help="why, for the record"),
        Arg(("--log",), help="folder or bucket with the model servers' logs (default: where they keep them)"),
        Arg(("--yes",), help="don't ask", action="store_true"),
        ARG_JSON,
        more="Snapshots, features, training sets and predictions, offline and online, the model servers' logs, and "
        "pages that quote values are searched until nothing is found, and once more by mlops_maintenance a day later. "
        "The models that saw its rows are named, and so are the deliveries that hold them: those are read without them "
        "from now on. An entity that goes by several names is named by each. What is kept of a request is a keyed "
        "hash. Without an entity the requests are listed. If something is left, exit status 1.",
        examples=("airflow mlops forget customer=4711 cust_no=4711", "airflow mlops forget --file leavers.txt --yes"),
    ),
    described(
        "reproduce",
        "Make a model version again from its record: identical, or what differs first",
        Arg(("version",), metavar="PRODUCT@VERSION", help="a model version, such as flight_delay@1"),
        Arg(
            ("--at",),
            choices=(HERE, RECORDED),
            default=HERE,
            help=f"{HERE}: stop if the code or settings here differ from the record; "
            f"{RECORDED}: ignore those here and use the recorded ones (default: {HERE})",
        ),
        ARG_ROOT,
        Arg(("--landing",), help="landing root with the deliveries (default: the recorded one)"),
        Arg(("--repository",), help="path or URL of a repository with the recorded commit (default: that on record)"),
        ARG_OWN_DAGS,
        Arg(
            ("--work",),
            help="folder below which everything is made; every place that runs jobs must reach it (default: temporary)",
            type=Path,
        ),
        Arg(("--keep",), help="keep what was made, and the jobs' log", action="store_true"),
        ARG_JSON,
        more="First it compares the present with the record: delivered files, code and settings of each step, "
        "packages, kept results. If all is the same, it makes raw tables, features, training set, model and evaluation "
        "again: with the code of the recorded commit, in a clean environment, in a new artifact root with a feature "
        "store and an MLflow of its own, and each job at the configured place. It stops at the first thing that "
        "differs. The last line is `identical` (exit status 0) or `differs: ...` with that thing (1).",
        examples=(f"AIRFLOW_HOME={HOME} airflow mlops reproduce flight_delay@2 --at recorded",),
    ),
    GroupCommand(name="ledger", help="Verify the ledgers of products, or repair one", subcommands=_LEDGER),
    described(
        "adopt",
        "Make another MLflow server the registry of a product, or the same one that lost its ledger's head",
        ARG_PRODUCT,
        more="The server is the one that the Airflow in AIRFLOW_HOME is configured for. The ledger's versions are made "
        "there under their numbers, from the artifact root; aliases and the ledger's head follow. From then on MLflow "
        "vouches for the ledger as it is now: look at it before, with `airflow mlops history`.",
        examples=("airflow mlops adopt flight_delay",),
    ),
    described(
        "demo",
        "Replay the reference product's months through the whole loop and show what happened",
        ARG_HOME,
        ARG_DAGS,
        ARG_PORT,
        ARG_SERVING_PORT,
        Arg(("--months",), help="data intervals to replay (default: 7)", default=7, type=integer(1, MAX_MONTHS)),
        more="It takes some minutes, stops everything at its end, and leaves summary.html and all results in its home; "
        "`airflow mlops up` shows them. The home is emptied first if an earlier demo made it, else refused.",
        examples=("airflow mlops demo", "airflow mlops demo --home /tmp/demo --port 8081 --months 5"),
    ),
    described(
        "up",
        "Start a local Airflow and MLflow and leave them running",
        ARG_HOME,
        ARG_DAGS,
        ARG_PORT,
        Arg(("--mlflow-port",), help="port of MLflow's pages (default: %(default)s)", default=MLFLOW_PORT, type=port),
        ARG_SERVING_PORT,
        more="It takes any folder of DAG files and products; more products are found in "
        "AIRFLOW__MLOPS__PRODUCTS_FOLDERS. Ports, password and folders are printed at the end.",
        examples=("airflow mlops up", "airflow mlops up --dags my/dags --home my/home --port 8081 --mlflow-port 5001"),
    ),
    described(
        "down",
        "Stop what `up` started, and everything its tasks started",
        Arg(("--home",), help=f"the --home that `up` was given (default: $AIRFLOW_HOME or {HOME})", type=Path),
        examples=("airflow mlops down", "airflow mlops down --home my/home"),
    ),
    described(
        "init",
        "Look at data, propose a product for it, write that as a folder that runs, and lay the history",
        Arg(("data",), help="file, folder or pattern; with --query a SQLAlchemy URL or an Airflow connection's id"),
        Arg(("--query",), help="of a database: a statement, or a table's name"),
        Arg(("--label",), help="the column that is to be predicted (default: proposed); none if nothing is labelled"),
        Arg(("--time",), help="the column that says when a row happened (default: proposed)"),
        Arg(("--problem",), metavar="KIND", help="the kind of problem (default: proposed)"),
        Arg(("--to",), metavar="FOLDER", help="folder of DAG files (default: this one)", type=Path, default=Path()),
        Arg(("--landing",), metavar="ROOT", help="landing root for the history (default: the configured one)"),
        Arg(("--report",), metavar="FILE", help="the report's file (default: NAME/report.html)", type=Path),
        Arg(("--yes",), help="don't ask: take what is proposed", action="store_true"),
        ARG_JSON,
        more="CSV, Parquet and JSON lines are read, packed as .gz or not; of more than a million rows a sample is "
        "looked at. At a terminal it asks five things. A new folder that is called like the product holds declaration, "
        "trainer, rules and expectations, to be read and changed, and report and proposal. The data are cut into the "
        "deliveries that it expects; nothing is overwritten. Of an Airflow connection nothing is copied: each interval "
        "is a query. Without a landing root of its own, that of `airflow mlops up` is taken.",
        examples=(
            "airflow mlops init trips.csv.gz --label late",
            "airflow mlops init sqlite:////data/shop.db --query orders --yes",
        ),
    ),
    *DELIVERY,
)
