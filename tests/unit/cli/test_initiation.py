"""``airflow mlops init``: from data to a folder with report and proposal; asks at a terminal, refuses in one line."""

from __future__ import annotations

import json
import os
import pty
import sqlite3
import subprocess
import sys
import threading
from argparse import Namespace
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from airflow_mlops_provider.cli.commands import init
from airflow_mlops_provider.hooks import defaults
from airflow_mlops_provider.lifecycle.initiation.proposal import Proposal
from tests.factories.looked_at import customers, vega

NOTHING = {"query": None, "label": None, "time": None, "problem": None, "report": None, "yes": True, "json": False}
WRITTEN = {"__init__.py", "product.py", "trainer.py", "expectations.py", "report.html", "proposal.json", "profile.json"}


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Work in an empty folder."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def run(data: object, **given: Any) -> None:
    """Run the command."""
    where = {"to": Path(), "landing": str(Path("landing").absolute())}
    init(Namespace(**{**NOTHING, **where, "data": str(data), **given}))


def refused(data: object, **given: Any) -> str:
    """Return the one line with which the command refuses; nothing is left behind."""
    before = sorted(Path().iterdir())
    with pytest.raises(SystemExit) as end:
        run(data, **given)
    assert sorted(Path().iterdir()) == before
    assert isinstance(end.value.code, str) and "\n" not in end.value.code
    return end.value.code


def proposal_in(folder: str) -> Proposal:
    """Return what was proposed."""
    return Proposal.from_file((Path(folder) / "proposal.json").read_bytes())


def test_report_and_proposal_are_written(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Into a folder of the product's name; the terminal says the same in short."""
    run(vega("stocks.csv"))
    assert {file.name for file in (here / "stocks").iterdir()} == {*WRITTEN, "rules.py"}
    assert "MLOpsDag(product, pipeline)" in (here / "pipelines.py").read_text()
    assert proposal_in("stocks").label == "price"
    out = capsys.readouterr().out
    assert "forecasting" in out and "Left to decide" in out and "stocks/report.html" in out


def test_a_script_gets_json(here: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The whole proposal, and nothing else."""
    run(vega("stocks.csv"), json=True, report=here / "out" / "look.html")
    assert Proposal.model_validate(json.loads(capsys.readouterr().out)) == proposal_in("stocks")
    assert (here / "out" / "look.html").exists() and not (here / "stocks" / "report.html").exists()


def test_folders_and_patterns(here: Path) -> None:
    """All files are one table, in the order of their names."""
    frame = customers(600)
    (here / "days").mkdir()
    for number in range(3):
        frame[number * 200 : number * 200 + 200].to_csv(here / "days" / f"{number}.csv.gz", index=False)
    run(here / "days", label="churned")
    assert proposal_in("days_product").reading.rows == 600
    (here / "days").rename(here / "other")
    run(f"{here}/other/[01].csv.gz")
    beside = {"days_product", "other", "landing", "pipelines.py"}
    (folder,) = (file for file in here.iterdir() if file.name not in beside)
    assert proposal_in(folder.name).reading.rows == 400


@pytest.fixture
def shop(here: Path) -> str:
    """A database with a table of orders."""
    with sqlite3.connect(here / "shop.db") as database:
        database.execute("create table orders (at text, amount real, paid text)")
        rows = [(f"2024-01-{1 + n % 28:02d}T10:00:00", n * 1.5, "no" if n % 3 else "yes") for n in range(300)]
        database.executemany("insert into orders values (?, ?, ?)", rows)
    return f"sqlite:///{here}/shop.db"


def test_a_table_and_a_query(shop: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a SQLAlchemy URL, or by an Airflow connection."""
    run(shop, query="orders", label="paid")
    assert proposal_in("orders").problem.kind == "binary_classification"
    monkeypatch.setenv(
        "AIRFLOW_CONN_SHOP", json.dumps({"conn_type": "sqlite", "host": shop.removeprefix("sqlite:///")})
    )
    run("shop", query="select at, amount from orders where amount > 10", label="amount")
    seen = proposal_in("shop")
    assert seen.reading.rows == 293 and [*seen.columns] == ["at", "amount"]


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({}, "with --query: a statement, or a table, of orders"),
        ({"query": "others"}, "no such table: others"),
        ({"query": "drop table if exists other"}, "gives no table"),
        ({"query": "select * from orders where amount < 0"}, "no rows"),
    ],
)
def test_a_query_that_gives_nothing_is_refused(shop: str, given: dict[str, str], words: str) -> None:
    """The message says what there is."""
    assert words in refused(shop, **given)


@pytest.mark.parametrize(
    ("data", "given", "words"),
    [
        ("nothing.csv", {}, "no file or folder nothing.csv"),
        ("nothing/*.csv", {}, "no file is there for nothing/*.csv"),
        ("sqlite:///nothing.db", {"query": "x"}, "can't be reached: FileNotFoundError"),
        ("postgresql://me:secret@127.0.0.1:1/x", {"query": "x"}, "can't be reached"),
        ("no_such_connection", {"query": "x"}, "isn't defined"),
        (vega("stocks.csv"), {"label": "prize"}, "unknown column 'prize'; known: date, price, symbol"),
        (vega("stocks.csv"), {"problem": "clustering"}, "known: anomaly_detection"),
    ],
)
def test_what_is_wrong_is_refused_in_a_line(data: object, given: dict[str, str], words: str) -> None:
    """It names what there is, shows no password, and leaves nothing behind."""
    line = refused(data, **given)
    assert words in line and "secret" not in line


def test_a_query_of_a_connection_stays_one(shop: str, here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is laid; of a URL, which no product may name, the rows are."""
    connection = {"conn_type": "sqlite", "host": shop.removeprefix("sqlite:///")}
    monkeypatch.setenv("AIRFLOW_CONN_SHOP", json.dumps(connection))
    run("shop", query="orders", label="paid", time="at")
    text = (here / "orders" / "product.py").read_text() if (here / "orders").exists() else ""
    text = text or (here / "shop" / "product.py").read_text()
    assert 'conn_id="shop"' in text and "at >= {start} and at < {end}" in text
    assert not (here / "landing").exists()
    run(shop, query="orders", label="paid", time="at", to=here / "more")
    assert "conn_id='…'" in (here / "more" / "orders" / "product.py").read_text()
    assert sum(pq.read_metadata(file).num_rows for file in (here / "landing" / "orders").iterdir()) == 300


def test_a_history_is_never_overwritten(here: Path) -> None:
    """Nor is a DAG file; a second product has a server's port of its own."""
    (here / "pipelines.py").write_text("mine")
    run(vega("stocks.csv"))
    run(vega("seattle-weather.csv"))
    assert (here / "pipelines.py").read_text() == "mine"
    ports = ["Serving(port=8901)" in (here / name / "product.py").read_text() for name in ("stocks", "seattle_weather")]
    assert ports == [False, True]
    (here / "stocks").rename(here / "shares")
    assert "is there already, and is not overwritten" in refused(vega("stocks.csv"))


def test_without_a_landing_root_the_local_stack_gets_it(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is laid where `airflow mlops up` delivers, and the command that follows is said."""
    monkeypatch.setenv("AIRFLOW_HOME", str(here / "home"))
    monkeypatch.setattr(defaults, "option", lambda name, team=None: None)
    run(vega("stocks.csv"), landing=None)
    assert len(list((here / "home" / "landing" / "stocks").iterdir())) == 11


def test_mixed_files_are_refused(here: Path) -> None:
    """File and column are named."""
    (here / "mixed").mkdir()
    (here / "mixed" / "a.csv").write_text("a,b\n1,2\n")
    (here / "mixed" / "b.csv").write_text("a,c\n1,2\n")
    assert "mixed/b.csv has no column 'b', which" in refused(here / "mixed")


def test_a_folder_that_is_there_stays(here: Path) -> None:
    """Nobody's work is overwritten."""
    (here / "stocks").mkdir()
    (here / "stocks" / "own.py").write_text("mine")
    assert "is there already" in refused(vega("stocks.csv"))
    assert [file.name for file in (here / "stocks").iterdir()] == ["own.py"]


def test_a_terminal_is_asked_five_things(here: Path) -> None:
    """What does not fit is asked again; Enter takes what is proposed."""
    answers = ["Cylinder", "Cylinders", "Über", "engines", "How many cylinders?", "right answers 0.9 share", ""]
    said = typed(here, answers, str(vega("cars.json")))
    assert said.count("won't do") == 2 and "Five questions" in said
    proposal = proposal_in("engines")
    assert (proposal.label, proposal.problem.kind) == ("Cylinders", "multiclass_classification")
    assert (proposal.goal, proposal.kpi.target, proposal.kpi.unit) == ("How many cylinders?", 0.9, "share")
    assert proposal.owner and not any("is a guess" in line for line in proposal.decide)


def typed(folder: Path, answers: list[str], *arguments: str) -> str:
    """Run the command at a terminal, type answers, and return what it said."""
    code = f"from tests.unit.cli.test_initiation import run; run({arguments[0]!r}, yes=False)"
    ours, theirs = pty.openpty()
    env = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3]), "TERM": "dumb"}
    ends = {"stdin": theirs, "stdout": theirs, "stderr": theirs}
    process = subprocess.Popen([sys.executable, "-c", code], cwd=folder, env=env, **ends)
    os.close(theirs)
    os.write(ours, "".join(f"{answer}\n" for answer in answers).encode())
    said = bytearray()

    def listen() -> None:
        try:
            while block := os.read(ours, 4096):
                said.extend(block)
        except OSError:
            pass  # how a terminal ends

    listener = threading.Thread(target=listen)
    listener.start()
    assert process.wait(120) == 0, said.decode()
    listener.join(10)
    os.close(ours)
    return said.decode()
