"""The demo itself, shortened: four months on a real scheduler, from the first delivery to a drift-triggered model.

It takes five minutes, so it runs only where ``MLOPS_TEST_REPLAY`` is 1: the CI job that runs the demo does.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import httpx
import psutil
import pytest

from airflow_mlops_provider.demo import replay as demo
from airflow_mlops_provider.demo.home import SOURCE
from airflow_mlops_provider.demo.local_airflow import processes
from tests.factories.forge import branches, git
from tests.factories.ports import free_port

pytestmark = [
    pytest.mark.system,
    pytest.mark.timeout(1500),
    pytest.mark.skipif(os.environ.get("MLOPS_TEST_REPLAY") != "1", reason="takes long: MLOPS_TEST_REPLAY=1 runs it"),
]
DAGS = Path(__file__).parents[2] / "dags"
MONTHS = 4
ENGINEER = "ml.operations@airline.example"
FLIGHT = {
    "origin": "JFK", "dest": "MIA", "carrier": "AA", "tailnum": "N619AA", "flight": 1141, "distance": 1089.0, "hour": 5,
    "sched_dep": "2013-05-01T09:40:00Z", "sched_arr": "2013-05-01T12:50:00Z", "event_time": "2013-05-01T07:40:00Z",
}  # fmt: skip


@dataclass(frozen=True)
class Replayed:
    """What was left of the replay once its stack had been stopped, and what had been asked while it ran."""

    home: Path
    ports: tuple[int, int]
    summary: dict[str, Any]
    runs: list[dict[str, Any]]
    answer: dict[str, Any]
    running: list[psutil.Process]


@pytest.fixture(scope="module")
def dags(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The reference bundle, but for its limits: it reacts at once, to 50 % of inputs; a challenger may lose 0.02.

    April drifts by 52 %, and a model of February and March is no better than one of January and February.
    """
    folder = tmp_path_factory.mktemp("bundle") / "dags"
    shutil.copytree(DAGS, folder, ignore=shutil.ignore_patterns("__pycache__"))
    file = folder / "flight_delay" / "product.py"
    text = file.read_text()
    limits = {
        "drift_share=0.6": "drift_share=0.5",
        "cooldown_intervals=1": "cooldown_intervals=0",
        "min_gain=-0.005": "min_gain=-0.02",
    }
    for old, new in limits.items():
        assert old in text
        text = text.replace(old, new)
    file.write_text(text)
    return folder


@pytest.fixture(scope="module")
def replayed(dags: Path, tmp_path_factory: pytest.TempPathFactory) -> Replayed:
    """Replay four months by the demo's own code; the live server is asked before everything is stopped."""
    ports = free_port(), free_port()
    home = tmp_path_factory.mktemp("demo") / "home"
    with pytest.MonkeyPatch.context() as patch:
        # The copied product, not the one that other tests have imported; ours comes back afterwards.
        for name in [name for name in sys.modules if name.partition(".")[0] == "flight_delay"]:
            patch.delitem(sys.modules, name)
        patch.syspath_prepend(str(dags))
        patch.delenv("PYTHONPATH", raising=False)
        try:
            with demo.replayed(home, dags, ports[0], ports[1], MONTHS) as (stack, _):
                runs = stack.api.dag_runs()
                for run in runs:
                    run["events"] = stack.api.events_of(run)
                url = f"http://127.0.0.1:{ports[1]}/predict"
                answer = httpx.post(url, json={"rows": [FLIGHT]}, timeout=30, trust_env=False)
                running = processes.marked(str(home))
        finally:
            for name in [name for name in sys.modules if name.partition(".")[0] == "flight_delay"]:
                del sys.modules[name]
    assert answer.status_code == 200, answer.text
    summary = json.loads((home / demo.SUMMARY).read_text())
    return Replayed(home, ports, summary, runs, answer.json(), running)


def test_every_month_went_through(replayed: Replayed) -> None:
    """Each month's data is validated, features are there, and the first month after the first model is judged."""
    months = replayed.summary["months"]
    assert [month["interval"][:7] for month in months] == ["2013-01", "2013-02", "2013-03", "2013-04"]
    assert all(month["validation"]["passed"] and month["validation"]["checked"] > 50 for month in months)
    assert [month["predictions"]["version"] for month in months if "predictions" in month] == [1]
    april = months[-1]
    assert april["predictions"]["rows"] == april["rows"]["examples"]
    assert april["performance"]["metric"]["low"] > 0.6
    assert april["performance"]["arrived"] + april["performance"]["pending"] == april["predictions"]["rows"]


def test_the_schedule_and_asset_events_start_every_run(replayed: Replayed) -> None:
    """By hand the experiment alone was started; all ended well but those that wait from May on; each event's sender is
    on record, and every pipeline has run.

    Batch inference and monitoring also look every hour for what no event told, and find nothing.
    """
    waiting = [run for run in replayed.runs if run["state"] != "success"]
    assert {run["dag_id"] for run in waiting} == {"flight_delay_feature_engineering"}
    assert min(run["data_interval_start"][:7] for run in waiting) == "2013-05"
    assert {run["run_type"] for run in replayed.runs} == {"scheduled", "asset_triggered", "manual"}
    assert len({run["dag_id"] for run in replayed.runs} - {"mlops_maintenance"}) == 6
    by_hand = [run["dag_id"] for run in replayed.runs if run["run_type"] == "manual"]
    assert by_hand == ["flight_delay_experimentation"]
    by_clock = {run["dag_id"] for run in replayed.runs if run["run_type"] == "scheduled"}
    assert "flight_delay_feature_engineering" in by_clock
    assert not by_clock & {"flight_delay_training", "flight_delay_deployment"}
    assert all(run["events"] for run in replayed.runs if run["run_type"] == "asset_triggered")
    listed = {run["run_id"] for run in replayed.summary["runs"]}
    since = [run for run in replayed.runs if run["dag_run_id"] not in listed and run["dag_id"] != "mlops_maintenance"]
    assert {run["run_type"] for run in since} <= {"scheduled"}  # the clock may have started one since it was written


def test_a_challenger_meets_the_champion_on_the_same_window(replayed: Replayed) -> None:
    """The second version, the first and a naive guess are judged on the same later month, with intervals."""
    first, second = replayed.summary["versions"]
    assert (first["cause"], first["evaluation"]["window"][:7]) == ("first", "2013-03")
    assert (second["cause"], second["evaluation"]["window"][:7]) == ("drift", "2013-04")
    assert all(interval < second["evaluation"]["window"] for interval in second["trained_on"])
    found = second["evaluation"]
    assert found["champion_version"] == 1
    for name in ("challenger", "champion"):
        assert found[name]["low"] <= found[name]["value"] <= found[name]["high"]
        assert found[name]["low"] > found["baseline"]["value"]
    assert found["gain"]["value"] == pytest.approx(found["challenger"]["value"] - found["champion"]["value"])
    # Batch predictions of April were judged too, by another job: the champion's figure is the same.
    assert found["champion"]["value"] == pytest.approx(
        replayed.summary["months"][-1]["performance"]["metric"]["value"], abs=1e-9
    )


def test_drift_starts_the_training(replayed: Replayed) -> None:
    """April's drift event names its evidence; the training that Airflow started from it made the second version."""
    (event,) = replayed.summary["drift_events"]
    assert event["interval"]["start"][:7] == "2013-04"
    assert any("inputs drifted, limit 50%" in line for line in event["crossed"])
    assert path(event["evidence"]["drift"]).stat().st_size > 10_000
    (started,) = event["started"]
    (run,) = [run for run in replayed.runs if run["dag_run_id"] == started]
    assert run["dag_id"] == "flight_delay_training"
    assert [one["name"] for one in run["events"]] == ["flight_delay.drift"]
    (sender,) = [one["source_run_id"] for one in run["events"]]
    assert sender == event["sent_by"]
    assert {run["dag_id"] for run in replayed.runs if run["dag_run_id"] == sender} == {"flight_delay_monitoring"}
    registered = replayed.summary["versions"][1]["moves"][0]
    assert registered["by"].split("/")[:2] == ["flight_delay_training", started]


def test_every_decision_is_told(replayed: Replayed) -> None:
    """Also why nothing was trained can be read, month by month."""
    told = [(one["interval"][:7], one["triggered_by"], one["cause"]) for one in replayed.summary["decisions"]]
    features, drift = ["flight_delay.features"], ["flight_delay.drift"]
    assert told == [
        ("2013-01", features, None),
        ("2013-02", features, None),
        ("2013-03", features, "first"),
        ("2013-04", features, None),
        ("2013-04", drift, "drift"),
    ]
    assert "1 of the 3" in replayed.summary["decisions"][0]["reason"]
    assert "due after" in replayed.summary["decisions"][3]["reason"]


def test_the_experiment_is_told_and_its_winner_waits(replayed: Replayed) -> None:
    """The record names the trials' winner, and its settings wait on a branch of the demo's own repository."""
    found = replayed.summary["experiment"]
    assert found["trials"] == demo.EXPERIMENT["trials"]
    assert found["best"]["value"] >= found["current"] > found["baseline"]
    assert path(found["page"]).is_file()
    assert (
        path(found["page"]).relative_to(replayed.home.resolve()).as_posix()
        in (replayed.home / "summary.html").read_text()
    )
    kept = branches(replayed.home / SOURCE)
    if found["not_exported"]:
        assert set(kept) == {"main"}
    else:
        assert kept[found["branch"]] == found["commit"]
        assert (
            git(replayed.home / SOURCE, "diff", "--name-only", "main", found["branch"]) == "flight_delay/settings.json"
        )


def test_the_live_version_answers_and_says_why(replayed: Replayed) -> None:
    """What answers over REST is the version that the record calls live, and its reasons lead back to its cause."""
    live = replayed.summary["live"]
    assert replayed.answer["version"] == live["version"] == 2
    assert 0 < replayed.answer["predictions"][0]["probability"] < 1
    passed = ["registered", "staging", "production-ready", "approved", "shadow", "canary", "live"]
    assert [why.partition(":")[0] for why in live["why"]] == passed
    assert "drifted" in live["why"][0]
    assert "over champion v1" in live["why"][2]


def test_a_person_lets_the_second_version_go_on(replayed: Replayed) -> None:
    """The first one needed nobody, recorded as such; of the second the ML engineer decided, over Airflow's own API."""
    first, second = (
        next(move for move in version["moves"] if move["status"] == "approved")
        for version in replayed.summary["versions"]
    )
    assert first["reason"].startswith("low risk: no version was ever live") and first["by"].startswith("flight_delay_")
    assert (second["by"], second["reason"]) == (ENGINEER, "the demo answers in this person's name")
    page = (replayed.home / "summary.html").read_text()
    assert ENGINEER in page and "while v2 was a candidate none failed" in page


def test_the_candidate_was_judged_by_calls(replayed: Replayed) -> None:
    """In shadow and as a canary, with figures in the ledger; each call was answered, a share by the canary."""
    moves = {move["status"]: move for move in replayed.summary["versions"][1]["moves"]}
    for status in ("canary", "live"):
        assert moves[status]["observed"]["calls"] >= 100 and moves[status]["observed"]["errors"] == 0
    (told,) = replayed.summary["calls"]
    assert told["candidate"] == 2 and set(told["answered"]) == {"v1", "v2"}, told
    assert 0 < told["answered"]["v2"] < 0.5 * told["answered"]["v1"]


def test_history_tells_what_was_live_at_the_end_of_each_month(replayed: Replayed) -> None:
    """`airflow mlops history --at` says what the model server itself had said at that moment."""
    home = replayed.home.resolve()
    env = {**os.environ, "AIRFLOW_HOME": str(home), "PYTHONPATH": str(DAGS), "PYTHONWARNINGS": "ignore"}
    told, served = [], replayed.summary["served"]
    for month in served:
        command = ["mlops", "history", "flight_delay", "--at", month["at"], "--json"]
        done = subprocess.run(
            [sys.executable, "-m", "airflow", *command], env=env, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        told.append(json.loads(done.stdout)["live"])
    assert told == [month["version"] for month in served] == [None, None, 1, 2]


def test_the_page_leads_to_every_report(replayed: Replayed) -> None:
    """The summary's page stands, and each report that it or the record links to is there."""
    page = (replayed.home / "summary.html").read_text()
    versions, months = replayed.summary["versions"], replayed.summary["months"]
    pages = [one["page"] for one in versions] + [one["validation"]["page"] for one in [*versions, *months]]
    pages += [months[-1][kind]["page"] for kind in ("drift", "performance")]
    for one in pages:
        assert path(one).is_file()
        assert path(one).relative_to(replayed.home.resolve()).as_posix() in page


def test_nothing_is_left_running(replayed: Replayed) -> None:
    """Airflow's components and the model server ran; afterwards none does, and both ports are free."""
    assert len(replayed.running) >= 5
    assert processes.marked(str(replayed.home)) == []
    assert not [one for one in replayed.running if one.is_running() and one.status() != psutil.STATUS_ZOMBIE]
    for port in replayed.ports:
        with socket.socket() as probe:
            assert probe.connect_ex(("127.0.0.1", port)) != 0


def path(uri: str) -> Path:
    """Return the file that a file URI names."""
    return Path(unquote(urlsplit(uri).path))
