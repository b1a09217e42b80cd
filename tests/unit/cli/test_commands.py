"""``airflow mlops``: registered with Airflow, and plain with whoever mistypes."""

from __future__ import annotations

import json
import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import pytest
from airflow.cli.cli_config import ActionCommand, GroupCommand
from airflow.cli.cli_parser import get_parser

from airflow_mlops_provider.cli.definition import get_mlops_cli_commands
from airflow_mlops_provider.lifecycle.maturity.rows import ROWS
from airflow_mlops_provider.lifecycle.references import Model, ModelVersion
from flight_delay.product import product as flight_delay
from tests.factories.ports import free_port
from tests.factories.rain import PRODUCTS
from tests.factories.ui import World


@pytest.fixture
def mlops(tmp_path: Path):
    """Return a function that runs ``airflow mlops …`` in a home of its own."""

    def run(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "COLUMNS": "200", "PYTHONWARNINGS": "ignore", **(env or {})}
        command = [sys.executable, "-m", "airflow", "mlops", *arguments]
        return subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)

    return run


def plainly(done: subprocess.CompletedProcess[str]) -> str:
    """Return the one line with which a command refused."""
    assert done.returncode == 1
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    assert len(lines) == 1, done.stderr
    return lines[0]


def test_help_names_every_command(mlops) -> None:
    """Airflow's own command line knows the provider's commands."""
    done = mlops("--help")
    assert done.returncode == 0, done.stderr
    for command in (
        "products",
        "show",
        "doctor",
        "history",
        "rollback",
        "waive",
        "lineage",
        "dossier",
        "stale",
        "forget",
        "reproduce",
        "feedback",
        "ledger",
        "adopt",
        "demo",
        "up",
        "down",
        "init",
        "check",
        "ci",
    ):
        assert f"    {command}" in done.stdout


def test_products_are_listed(mlops) -> None:
    """The reference bundle is found without naming it, as a table and as JSON that a script can read."""
    table, listed = mlops("products"), mlops("products", "--json")
    assert "flight_delay" in table.stdout
    assert "Will this flight arrive" in table.stdout
    assert [product["name"] for product in json.loads(listed.stdout)] == ["flight_delay"]


def test_a_declaration_is_shown_with_every_default(mlops) -> None:
    """What product.py says, and what holds where it says nothing; a mistyped name lists the known ones."""
    shown = mlops("show", "flight_delay").stdout
    fields = {cells[0]: cells[1:] for line in shown.splitlines() if len(cells := _cells(line)) == 3}
    assert fields["evaluation.gates.min_metric"] == ["0.66", ""]
    assert fields["monitoring.drift_method"] == ["evidently", "default"]
    assert fields["data.sources[flights].time"] == ["time_hour", ""]
    assert json.loads(mlops("show", "flight_delay", "--json").stdout)["metric"]["name"] == "roc_auc"
    assert "known: flight_delay" in plainly(mlops("show", "flight_dely"))


def _cells(line: str) -> list[str]:
    return [cell.strip() for cell in re.split("[│┃|]", line)[1:-1]]


def test_a_folder_that_is_not_there_is_refused_in_one_line(mlops, tmp_path: Path) -> None:
    """A mistyped folder is named, and not taken for a folder without products."""
    assert "nowhere" in plainly(mlops("products", "--dags", str(tmp_path / "nowhere")))


def test_an_unknown_product_is_refused_in_one_line(mlops) -> None:
    """A mistyped product is named with those that there are, and not taken for one without versions."""
    line = plainly(mlops("history", "flight_dely"))
    assert "flight_dely" in line
    assert "flight_delay" in line


def test_an_unknown_command_names_the_known_ones(mlops) -> None:
    """A mistyped command ends with exit status 2 and the commands to choose from, without a traceback."""
    done = mlops("demmo")
    assert done.returncode == 2
    assert "demo" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def own(tmp_path: Path) -> Path:
    """Return a DAG folder with a product of one's own and a DAG file."""
    shutil.copytree(PRODUCTS / "rain_tomorrow", tmp_path / "own" / "rain_tomorrow")
    (tmp_path / "own" / "training.py").write_text("")
    return tmp_path / "own"


@pytest.mark.parametrize(
    "setting",
    [
        "AIRFLOW__CORE__DAGS_FOLDER",
        "AIRFLOW__MLOPS__PRODUCTS_FOLDERS",
        "AIRFLOW__DAG_PROCESSOR__DAG_BUNDLE_CONFIG_LIST",
    ],
)
def test_products_of_the_airflow_at_hand_are_found(mlops, own: Path, setting: str) -> None:
    """Whichever setting names the folder, its product is listed and known, and the reference bundle is left out."""
    path = "airflow.dag_processing.bundles.local.LocalDagBundle"
    bundles = json.dumps([{"name": "own", "classpath": path, "kwargs": {"path": str(own)}}])
    env = {setting: bundles if "BUNDLE" in setting else str(own)}
    listed = mlops("products", "--json", env=env)
    assert [product["name"] for product in json.loads(listed.stdout)] == ["rain_tomorrow"]
    assert str(own) in listed.stderr
    assert "days/2012.csv" in mlops("history", "rain_tomorrow", env=env).stdout
    assert "no open requests" in mlops("feedback", "rain_tomorrow", env=env).stdout
    line = plainly(mlops("history", "flight_delay", env=env))
    assert "known: rain_tomorrow" in line and str(own) in line and "AIRFLOW__MLOPS__PRODUCTS_FOLDERS" in line


def test_a_product_without_versions_says_how_to_get_one(mlops) -> None:
    """No empty table: how many intervals a first training takes, which files to deliver and where."""
    done = mlops("history", "flight_delay")
    assert done.returncode == 0
    assert "takes 3 data intervals" in done.stdout and "flights/2013-01.csv" in done.stdout
    assert json.loads(mlops("history", "flight_delay", "--json").stdout) == []


def test_a_folder_without_products_says_what_to_set(mlops, tmp_path: Path) -> None:
    """An empty folder is named, with what a product is and how to name another place."""
    done = mlops("products", "--dags", str(tmp_path))
    assert done.returncode == 0 and done.stdout == ""
    assert str(tmp_path) in done.stderr and "product.py" in done.stderr and "AIRFLOW_HOME" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (("lineage", "flight_delay@1"), ["flight_delay", "AIRFLOW_HOME"]),
        (("reproduce", "flight_delay@1"), ["flight_delay", "AIRFLOW_HOME"]),
        (("adopt", "flight_delay"), ["flight_delay", "AIRFLOW_HOME"]),
        (("ledger", "verify", "flight_dely"), ["flight_dely", "flight_delay", "AIRFLOW_HOME"]),
        (("lineage", "--file", "x", "--root", "/elsewhere"), ["'x'", "/elsewhere"]),
        (("feedback", "flight_delay", "--answer", "done"), ["--close"]),
        (("down", "--home", "/elsewhere"), ["/elsewhere"]),
        (("doctor", "--product", "flight_dely"), ["flight_dely", "flight_delay", "AIRFLOW_HOME"]),
        (("doctor", "--write"), ["dags", "stack.toml", "--dags"]),
    ],
)
def test_what_is_not_there_is_said_with_the_next_step(mlops, arguments: tuple[str, ...], named: list[str]) -> None:
    """Each refusal is one line that names what was asked for, where it was looked for, and what to set."""
    line = plainly(mlops(*arguments))
    assert all(one in line for one in named)


@pytest.mark.parametrize(
    "arguments",
    [
        ("up", "--port", "0"),
        ("up", "--mlflow-port", "99999"),
        ("demo", "--serving-port", "-1"),
        ("demo", "--months", "0"),
        ("demo", "--months", "13"),
        ("demo", "--months", "٣"),
        ("demo", "--months", "9" * 5000),
    ],
)
def test_numbers_out_of_range_are_refused_at_once(arguments: tuple[str, ...], capsys) -> None:
    """Ports and months are judged by the command line: exit status 2, naming value and range."""
    with pytest.raises(SystemExit) as ended:
        get_parser().parse_args(["mlops", *arguments])
    assert ended.value.code == 2
    assert "no whole number from" in capsys.readouterr().err


def commands(group: GroupCommand, *words: str) -> Iterator[tuple[ActionCommand, tuple[str, ...]]]:
    """Yield each command of a group, and of the groups in it, with its words."""
    for command in group.subcommands:
        if isinstance(command, GroupCommand):
            yield from commands(command, *words, command.name)
        else:
            yield command, (*words, command.name)


@pytest.mark.parametrize(
    ("command", "words"),
    commands(get_mlops_cli_commands()[0]),
    ids=lambda one: one.name if isinstance(one, ActionCommand) else "-",
)
def test_help_ends_with_an_example(command: ActionCommand, words: tuple[str, ...], capsys) -> None:
    """Every command's help shows a call that can be copied; nothing of it is eaten as markup."""
    with pytest.raises(SystemExit) as ended:
        get_parser().parse_args(["mlops", *words, "--help"])
    assert ended.value.code == 0
    assert f"airflow mlops {' '.join(words)}" in capsys.readouterr().out.partition("Examples:")[2]
    assert "[" not in f"{command.description}{command.epilog}"


@pytest.mark.parametrize("code", ["product = (", "import nowhere", "product = 1", "raise SystemExit(3)"])
def test_a_broken_product_hides_no_other(mlops, own: Path, code: str) -> None:
    """Its file and line are named with what is wrong, exit status 1; the others are listed."""
    (own / "broken_one").mkdir()
    (own / "broken_one" / "product.py").write_text(code)
    done = mlops("products", "--dags", str(own), "--json")
    assert [product["name"] for product in json.loads(done.stdout)] == ["rain_tomorrow"]
    assert done.returncode == 1 and f"{own}/broken_one/product.py:1: " in done.stderr and "Traceback" not in done.stderr


def test_a_schedule_that_airflow_refuses_is_named(mlops, own: Path) -> None:
    """What would keep a product's DAGs away is said by the command line, too."""
    file = own / "rain_tomorrow" / "product.py"
    text = file.read_text()
    file.write_text(re.sub(r'cron="[^"]+"', 'cron="every day"', text))
    assert file.read_text() != text
    done = mlops("products", "--dags", str(own))
    assert done.returncode == 1 and str(file) in done.stderr and "'every day'" in done.stderr


def test_up_says_how_to_make_a_product(mlops, tmp_path: Path) -> None:
    """Without a product nothing is started, and the message says what one is."""
    (tmp_path / "dags").mkdir()
    line = plainly(mlops("up", "--dags", str(tmp_path / "dags"), "--home", str(tmp_path / "home")))
    assert "product.py" in line and "MLProduct" in line
    assert not (tmp_path / "home").exists()


def test_up_says_where_dag_files_are_copied_from(mlops, own: Path, tmp_path: Path) -> None:
    """A product alone would run nothing: the message names the files that are missing."""
    (own / "training.py").unlink()
    line = plainly(mlops("up", "--dags", str(own), "--home", str(tmp_path / "home")))
    assert "no DAG files" in line and "/*.py" in line


def test_up_leaves_a_strangers_home_alone(mlops, own: Path, tmp_path: Path) -> None:
    """The home of somebody's own Airflow is refused, and its settings are as they were."""
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "airflow.db").touch()
    (tmp_path / "theirs" / "airflow.cfg").write_text("[core]\n")
    assert "not empty" in plainly(mlops("up", "--dags", str(own), "--home", str(tmp_path / "theirs")))
    assert (tmp_path / "theirs" / "airflow.cfg").read_text() == "[core]\n"
    assert "no folder" in plainly(mlops("up", "--dags", str(own), "--home", str(tmp_path / "theirs" / "airflow.cfg")))


def test_a_taken_port_leaves_nothing_behind(mlops, own: Path, tmp_path: Path) -> None:
    """Whichever port is taken, it is named, and the home may be used with another one."""
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        for option in ("--port", "--mlflow-port"):
            free = {"--port": free_port(), "--mlflow-port": free_port(), option: port}
            ports = [str(one) for pair in free.items() for one in pair]
            line = plainly(mlops("up", "--dags", str(own), "--home", str(tmp_path / "home"), *ports))
            assert f"port {port} " in line and not (tmp_path / "home").exists()


def test_two_products_at_one_port_are_named(mlops, own: Path, tmp_path: Path) -> None:
    """Model servers that would fight for a port are refused before anything starts."""
    copied = own / "snow_tomorrow"
    shutil.copytree(own / "rain_tomorrow", copied)
    for file in copied.glob("*.py"):
        file.write_text(file.read_text().replace("rain_tomorrow", "snow_tomorrow"))
    line = plainly(mlops("up", "--dags", str(own), "--home", str(tmp_path / "home")))
    assert "rain_tomorrow" in line and "snow_tomorrow" in line and "8901" in line


def test_doctor_shows_every_row_of_an_empty_home(mlops, tmp_path: Path) -> None:
    """Before anything has run: no database to be seen, nothing green that was not seen, and nothing is made by it."""
    done = mlops("doctor", "--json", "--html", str(tmp_path / "doctor.html"))
    rows = {row["id"]: row for row in json.loads(done.stdout)}
    assert done.returncode == 1 and "Traceback" not in done.stderr
    assert list(rows) == [row.id for row in ROWS]
    off = {name for name, row in rows.items() if row["light"] == "red"}
    assert off == {"P2", "P6", "P9", "C3", "R7", "28", "O6"}, [rows[name] for name in off]
    assert "no database" in rows["C3"]["evidence"] and "AIRFLOW_HOME" in rows["C3"]["next"] + rows["C3"]["evidence"]
    assert {rows[name]["light"] for name in ("P3", "C4", "C6", "C8", "12", "20", "24")} == {"yellow"}
    assert "stack.toml" in (tmp_path / "doctor.html").read_text()
    assert {file.name for file in tmp_path.iterdir()} <= {"airflow.cfg", "logs", "doctor.html"}


def test_doctor_names_what_is_wrong_with_a_stack(mlops, own: Path) -> None:
    """File, table and key, and every other row is still shown; the first is written of what is there, and fits."""
    env = {"AIRFLOW__CORE__DAGS_FOLDER": str(own)}
    assert str(own / "stack.toml") in mlops("doctor", "--write", env=env).stdout
    rows = json.loads(mlops("doctor", "--json", env=env).stdout)
    assert {row["id"]: row["light"] for row in rows}["R2"] == "green"
    text = (own / "stack.toml").read_text()
    (own / "stack.toml").write_text(text.replace("[model_registry]\nvendor", "[model_registry]\nvender"))
    rows = {row["id"]: row for row in json.loads(mlops("doctor", "--json", env=env).stdout)}
    assert rows["2"]["light"] == rows["R2"]["light"] == "red"
    line = rows["R2"]["evidence"]
    assert str(own / "stack.toml") in line and "[model_registry]" in line and "'vender'" in line


def test_a_reason_in_brackets_is_shown_as_it_is(mlops, tmp_path: Path) -> None:
    """What looks like a terminal's markup is text."""
    from airflow_mlops_provider.lifecycle.release.registry import Status

    world = World(tmp_path / "mlops", flight_delay.model_copy(update={"goal": "[/b]never[bold]"}))
    model = world.job("train", 1, kind=Model)
    version = ModelVersion(uri=model.uri, hash=model.hash, name="flight_delay", version=1)
    world.move(version, Status.REGISTERED, "because of [/b] and [red]")
    done = mlops("history", "flight_delay")
    assert done.returncode == 0 and "because of [/b] and [red]" in done.stdout


def test_what_was_live_at_a_time(mlops, tmp_path: Path) -> None:
    """Of any moment: the version that answered, since when, and where the others were; a date is its end."""
    from airflow_mlops_provider.lifecycle.release.registry import Status

    world = World(tmp_path / "mlops", flight_delay)
    moments = []
    for number in (1, 2):
        model = world.job("train", number, kind=Model)
        version = ModelVersion(uri=model.uri, hash=model.hash, name="flight_delay", version=number)
        for status in (Status.REGISTERED, Status.STAGING, Status.PRODUCTION_READY, Status.LIVE):
            world.move(version, status, f"{status.value} of {number}")
        moments.append(datetime.now(UTC))
        time.sleep(0.01)
    world.move(world.ledger.entries()[0].version, Status.RETIRED, "version 2 took over")
    told = mlops("history", "flight_delay", "--at", moments[0].isoformat()).stdout
    assert "version 1 was live, since" in told and "v2" not in told
    then = json.loads(mlops("history", "flight_delay", "--at", moments[1].date().isoformat(), "--json").stdout)
    assert then["live"] == 2
    assert [(move["version"]["version"], move["status"]) for move in then["versions"]] == [(1, "retired"), (2, "live")]
    assert "no version was live" in mlops("history", "flight_delay", "--at", "2001-02-03").stdout
    refused = mlops("history", "flight_delay", "--at", "in May")
    assert refused.returncode == 2 and "'in May' is no date or time such as" in refused.stderr


def test_a_reader_that_has_enough_is_no_error(tmp_path: Path) -> None:
    """A closed pipe, as `head` leaves it, ends a listing quietly."""
    env = {**os.environ, "AIRFLOW_HOME": str(tmp_path), "PYTHONWARNINGS": "ignore"}
    command = [sys.executable, "-m", "airflow", "mlops", "products", "--json"]
    read, write = os.pipe()
    os.close(read)
    with os.fdopen(write) as closed:
        done = subprocess.run(command, env=env, stdout=closed, stderr=subprocess.PIPE, text=True, check=False)
    assert "Traceback" not in done.stderr and "BrokenPipe" not in done.stderr
