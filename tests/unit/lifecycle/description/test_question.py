"""What people are shown who are asked whether a version may go live."""

from __future__ import annotations

from datetime import UTC, datetime

from airflow_mlops_provider.lifecycle.description.question import question
from airflow_mlops_provider.lifecycle.references import ModelVersion
from airflow_mlops_provider.lifecycle.release.evaluation import Estimate, Evaluation, Worth
from airflow_mlops_provider.lifecycle.release.registry import LedgerEntry, Status
from airflow_mlops_provider.render.documents import markdown
from flight_delay.product import product

ONE = Estimate(value=0.8, low=0.79, high=0.81)


def entry(number: int, status: Status, reason: str) -> LedgerEntry:
    """Return an entry of a ledger."""
    version = ModelVersion(uri="file:///m", hash=str(number) * 64, name="flight_delay", version=number)
    now = datetime(2024, 1, 1, tzinfo=UTC)
    return LedgerEntry(sequence=number, version=version, status=status, was=None, reason=reason, by="ben", at=now)


def test_all_that_decides_is_shown() -> None:
    """Aim, figures, the way here, links and people; nothing that somebody wrote as a reason is markup or a new line."""
    worth = Worth(currency="USD", amounts={"challenger": 1234567.8, "champion": 1.2e6, "baseline": -50.0})
    evaluation = Evaluation(
        metric="roc_auc", window="June", rows=900, challenger=ONE, champion=ONE, baseline=ONE, worth=worth
    )
    forged = "fine\n\n# Approved by everybody\n![x](http://evil.example/pixel)<img src=x>"
    entries = [entry(1, Status.LIVE, "it serves"), entry(2, Status.PRODUCTION_READY, forged)]
    people, links = {"anna": ("ml_engineer",), "ben": ("devops_engineer",)}, {"/page?a=1": "Evaluation"}
    text = markdown(question(entries[1].version, entries, evaluation, product, people, 2, links))
    assert "May version 2 of flight\\_delay go live?" in text and "in place of version 1" in text
    assert "| model | roc\\_auc, 95 % interval | would have brought, USD |" in text
    assert "| challenger | 0.8000 \\[0.7900, 0.8100\\] | 1,234,568 |" in text and "| baseline |" in text
    assert "Judged on 900 examples of June" in text
    assert "[Evaluation](</page?a=1>)" in text
    assert "2 of anna (ml\\_engineer), ben (devops\\_engineer) must agree; silence is a no" in text
    assert "fine \\# Approved by everybody !\\[x\\](http://evil.example/pixel)\\<img src=x\\>" in text


def test_the_first_version_of_a_name_alone() -> None:
    """Without a product, an evaluation and a live version what is known is shown."""
    entries = [entry(1, Status.PRODUCTION_READY, "good")]
    text = markdown(question(entries[0].version, entries, None, None, {"anna": ("ml_engineer",)}, 1, {}))
    assert "would go live as the first" in text and "production-ready: good (ben)" in text and "How good" not in text
