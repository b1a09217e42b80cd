"""The summary of a replay, at the terminal and as a page: what it must say, and what must not break it."""

from __future__ import annotations

import io
import re
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from airflow_mlops_provider.demo import report
from airflow_mlops_provider.demo.page import write_page
from airflow_mlops_provider.lifecycle.sections import Monitoring
from airflow_mlops_provider.render import terminal

MONTHS = [f"2013-0{number}-01 00:00/2013-0{number + 1}-01 00:00" for number in range(1, 6)]


def around(value: float) -> dict[str, float]:
    return {"value": value, "low": value - 0.01, "high": value + 0.01}


def version(number: int, months: list[str], moves: list[tuple[str, str]], home: Path) -> dict[str, Any]:
    champion = around(0.70) if number > 1 else None
    return {
        "version": number,
        "trained_on": months[:-1],
        "validation": {"passed": True, "checked": 71, "page": f"{home.as_uri()}/training-{number}.html"},
        "mlflow_page": f"http://127.0.0.1:5000/#/runs/{number}",
        "evaluation": {
            "window": months[-1],
            "rows": 27000,
            "challenger": around(0.75),
            "champion": champion,
            "baseline": around(0.61),
            "gain": around(0.05) if champion else None,
        },
        "page": f"{home.as_uri()}/evaluation-{number}.html",
        "moves": [
            {"status": status, "reason": reason, "by": f"flight_delay_training/run-{number}/promote"}
            for status, reason in moves
        ],
    }


def month(number: int, home: Path, predicted_by: int | None = None, share: float = 0.3) -> dict[str, Any]:
    page = f"{home.as_uri()}/month-{number}"
    seen = {
        "predictions": {"rows": 9, "version": predicted_by},
        "drift": {"share": share, "prediction": 0.12, "page": f"{page}-drift.html"},
        "performance": {
            "metric": around(0.72),
            "pending": 194,
            "value": {"amount": 1000.0, "currency": "USD"},
            "page": f"{page}-performance.html",
        },
    }
    data = {"validation": {"passed": True, "checked": 83, "page": f"{page}-data.html"}, "rows": {"examples": 9000}}
    return {"interval": MONTHS[number - 1], **data, **(seen if predicted_by else {})}


@pytest.fixture
def summary(tmp_path: Path) -> dict[str, Any]:
    """Return five months: a first version, drift in May, and a challenger that is rejected."""
    event = {"interval": {"start": "2013-05-01T00:00:00Z"}, "crossed": ["66% drifted <limit>"], "started": ["run-2"]}
    why = [
        ("registered", "trained because: the first 3 are there"),
        ("approved", "low risk: it is <the first>"),
        ("live", "http://127.0.0.1:8900 answers"),
    ]
    rejected = [("registered", "trained because: 66% drifted <limit>"), ("rejected", "gain is below 0.1")]
    told = {"cause": None, "train": False, "triggered_by": ["flight_delay.features"]}
    return {
        "product": "flight_delay",
        "goal": "Late by <15> minutes?",
        "metric": "roc_auc",
        "limits": Monitoring(drift_share=0.6, min_metric=0.69).to_json(),
        "months": [
            *(month(number, tmp_path) for number in (1, 2, 3)),
            month(4, tmp_path, predicted_by=1),
            month(5, tmp_path, predicted_by=1, share=0.66),
        ],
        "calls": [{"candidate": 2, "answered": {"v1": 1200, "v2": 240}}],
        "versions": [version(1, MONTHS[:3], why, tmp_path), version(2, MONTHS[2:5], rejected, tmp_path)],
        "decisions": [
            {**told, "interval": MONTHS[3], "reason": "1 new, due after 6"},
            {**told, "interval": MONTHS[4], "reason": "2 new, due after 6"},
            {**told, "interval": MONTHS[4], "reason": "66% drifted <limit>", "train": True, "cause": "drift"},
        ],
        "drift_events": [event],
        "experiment": {
            "stopped": "all 6 trials have ended",
            "best": {"trial": 3, "algorithm": "trees", "metric": "roc_auc", "value": 0.79},
            "current": 0.78,
            "baseline": 0.69,
            "branch": "mlops/flight_delay/study-1",
            "remote": f"{tmp_path.as_uri()}/source.git",
            "not_exported": [],
            "left_out": {"network": "torch is <not> installed; run: pip install 'x[torch]'"},
            "page": f"{tmp_path.as_uri()}/search.html",
        },
        "runs": [{"run_type": "scheduled"}, {"run_type": "asset_triggered"}],
        "live": {"version": 1, "why": [f"{status}: {reason}" for status, reason in why]},
        "links": dict.fromkeys(("airflow", "mlops", "mlflow", "mlflow_model", "model_server"), "http://127.0.0.1:1"),
        "tasks": 12,
        "seconds": 240.0,
    }


def page(summary: dict[str, Any], folder: Path) -> str:
    write_page(summary, folder / "summary.html")
    return (folder / "summary.html").read_text()


def test_every_report_is_one_click_away(summary: dict[str, Any], tmp_path: Path) -> None:
    """Each report is linked relative to the page, so that the folder may be moved; no file:// link is left."""
    html = page(summary, tmp_path)
    links = set(re.findall(r"href='([^']+)'", html))
    seen = {f"month-{number}-{kind}.html" for number in (4, 5) for kind in ("drift", "performance")}
    data = {f"month-{number}-data.html" for number in range(1, 6)}
    versions = {f"{kind}-{number}.html" for kind in ("evaluation", "training") for number in (1, 2)}
    assert links >= seen | data | versions
    assert not [link for link in links if link.startswith("file:")]


def test_the_drawing_tells_the_story(summary: dict[str, Any], tmp_path: Path) -> None:
    """The drift is drawn with the version that answered it, the live version as live, the rejected one as rejected."""
    html = page(summary, tmp_path)
    drawing = html[html.index("<svg") : html.index("</svg>")]
    assert "drift → v2" in drawing
    assert drawing.count(">live<") == 1
    assert drawing.count(">rejected<") == 1
    assert drawing.count("<circle") == 2  # two months were judged
    assert drawing.count("class='bar over'") == drawing.count("class='bar'") == 1


def test_figures_and_reports_lead_to_their_evidence(summary: dict[str, Any], tmp_path: Path) -> None:
    """A dot leads to the report on performance, a bar to that on drift; beside a report is its manifest."""
    result = f"flight_delay/drift/{'0a' * 16}"
    summary["months"][4]["drift"]["page"] = f"{tmp_path.as_uri()}/{result}/{'1b' * 8}/drift.html"
    html = page(summary, tmp_path)
    assert "<a href='month-4-performance.html'><g class='v0'>" in html
    assert f"<a href='{result}/{'1b' * 8}/drift.html'><rect class='bar over'" in html
    assert f"href='{result}/manifest.json'>manifest</a>" in html


def test_a_signal_without_training_is_drawn_as_such(summary: dict[str, Any], tmp_path: Path) -> None:
    """Drift while cooling down is seen, and not taken for the cause of a version."""
    summary["drift_events"][0]["started"] = ["another run"]
    assert "drift, no training" in page(summary, tmp_path)


def test_the_experiment_is_told(summary: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Page and terminal say what won, against what, where it waits, and what was left out; without one, nothing."""
    html = page(summary, tmp_path)
    report.show(terminal.console(), summary, tmp_path)
    for text in (html, capsys.readouterr().out):
        assert "trial 3 with trees: roc_auc 0.7900, today" in text
        assert "waits for a review on branch mlops/flight_delay/study-1" in text
        assert "network was left out: torch is" in text
    assert "href='search.html'" in html
    summary["experiment"] |= {"branch": None, "not_exported": ["no trial beats the current settings"]}
    assert "nothing to review: no trial beats the current settings" in page(summary, tmp_path)
    summary["experiment"] = None
    assert "Experiment" not in page(summary, tmp_path)
    report.show(terminal.console(), summary, tmp_path)
    assert "Experiment" not in capsys.readouterr().out


def test_a_release_is_told(summary: dict[str, Any], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Page and terminal say who let a version go on, what a candidate did, and who answered the calls meanwhile."""
    by, seen = "ml.operations@airline.example", {"calls": 412, "errors": 0, "p99_ms": 8.2, "live_p99_ms": 9.1}
    summary["versions"][1]["moves"][1:] = [
        {"status": "approved", "reason": "the month was <good>", "by": by},
        {"status": "canary", "reason": "412 calls as shadow, and no limit is broken", "by": "one", "observed": seen},
    ]
    html = page(summary, tmp_path)
    report.show(terminal.console(), summary, tmp_path)
    told = capsys.readouterr().out
    assert f"v2 approved: the month was <good>; by {by}" in told
    assert "v2 canary: 412 calls as shadow, and no limit is broken (calls 412, errors 0, p99_ms 8.2" in told
    assert by in html and "the month was &lt;good&gt;" in html and ">412<" in html
    for text in (html, told):
        assert "of 1,440 calls while v2 was a candidate none failed; answered by v1 1,200, v2 240" in text
    summary["calls"][0]["answered"]["failed"] = 3
    assert "was a candidate 3 failed; answered by v1 1,200, v2 240" in page(summary, tmp_path)


def test_texts_do_not_become_markup(summary: dict[str, Any], tmp_path: Path) -> None:
    """Whatever a product or a reason says stays text."""
    html = page(summary, tmp_path)
    assert "<limit>" not in html
    assert "<15>" not in html
    assert "<not>" not in html
    assert "<script" not in html


def test_a_replay_too_short_for_a_model(summary: dict[str, Any], tmp_path: Path) -> None:
    """One month brings neither predictions nor versions; page and tables stand all the same."""
    summary |= {"months": summary["months"][:1], "versions": [], "live": None, "decisions": [], "drift_events": []}
    assert "No version met its gates" in page(summary, tmp_path)
    report.show(Console(file=io.StringIO()), summary, tmp_path)


def test_a_run_by_hand_is_counted(summary: dict[str, Any], tmp_path: Path) -> None:
    """That nobody started a run is read from Airflow's record, not claimed."""
    assert "none by hand" in page(summary, tmp_path)
    summary["runs"].append({"run_type": "manual"})
    assert "1 by hand" in page(summary, tmp_path)


def test_a_log_gets_whole_tables(
    summary: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Without a terminal a month is one line a decision, with its figures unbroken."""
    monkeypatch.delenv("COLUMNS", raising=False)
    report.show(terminal.console(), summary, tmp_path)
    lines = capsys.readouterr().out.splitlines()
    (may,) = [line for line in lines if "May 2013" in line]
    assert "v1" in may
    assert "0.7200 [0.7100, 0.7300]" in may
    assert "not yet: 2 new, due after 6" in may
    assert any("trained: 66% drifted <limit>" in line for line in lines)
