"""An edit to our own code moves the addresses of exactly the steps that depend on it, and an upgrade moves none."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import NamedTuple

import pytest

from tests.factories.addresses import CHAIN
from tests.factories.code_copy import CodeCopy, Edit

# What is made of a step's result, directly or not, as the DAGs hand it on.
OF_EVALUATION = {"register", "promote"}
OF_SEARCH = {"trial", "conclude", "export_settings"}
OF_MODEL = {"evaluate", *OF_EVALUATION, "retire", "waive", "approve", "deploy", "predict", "drift", "performance"}
OF_TRAINING_SET = {"validate training", "train", "retune", *OF_MODEL, "search", *OF_SEARCH}
OF_FEATURES = {"load", "training_set", *OF_TRAINING_SET}


class Case(NamedTuple):
    """A line that is edited, and what follows.

    :param decides: the steps whose results the module decides.
    :param follow: those that are made of these results.
    """

    module: str
    old: str
    new: str
    decides: set[str]
    follow: set[str]
    why: str


CASES = [
    Case(
        "problems/statistics", "REPEATS = 200", "REPEATS = 201",
        {"evaluate", "performance", "retune", "search", "trial", "deploy", "reconcile"}, OF_EVALUATION | OF_SEARCH,
        "whatever says how good a model is, of a candidate, too, says it so; what trains or predicts does not",
    ),
    Case(
        "jobs/features/leakage", "_TOLERANCE = 1e-9", "_TOLERANCE = 1e-8",
        {"compute"}, OF_FEATURES,
        "only the features are probed, and all but what was delivered and cleaned is made of them",
    ),
    Case(
        "scoring/inputs", '"bool": "float64"}', '"bool": "int64"}',
        {"train", "evaluate", "retune", "predict", "search", "trial"}, OF_MODEL | {"conclude", "export_settings"},
        "the one way from rows to model inputs and to the truth: for whatever trains, judges, and applies a model",
    ),
    Case(
        "backends/drift/evidently/report", "_BY_CHANCE = 1.96", "_BY_CHANCE = 2.58",
        {"drift"}, set(),
        "drift is measured in one step, and nothing but the signal is made of its report",
    ),
    Case(
        "backends/validation/great_expectations/report", "_SAMPLE = 5", "_SAMPLE = 6",
        {"validate raw", "validate training"}, {"promote"},
        "expectations are checked twice; the report on the training set is what a promotion looks at",
    ),
    Case(
        "backends/models/lightgbm", 'MODEL_FILE = "model.lgb"', 'MODEL_FILE = "trees.lgb"',
        {"train", "evaluate", "retune", "predict", "search", "trial", "conclude"}, OF_MODEL | OF_SEARCH,
        "who trains with this flavor, who applies models of any, and who chooses among the product's algorithms",
    ),
    Case(
        "backends/feature_store/feast/custom_stores", "ibis.memtable(entity_df)", "ibis.memtable(entity_df.copy())",
        {"load", "training_set", "predict", "forget"}, OF_TRAINING_SET,
        "the join in time, for training and for batch, and who takes entities out; not who is given rows already",
    ),
    Case(
        "jobs/training/fit", "dict(trainer.settings), trainer.seed", "dict(trainer.settings), trainer.seed + 1",
        {"train", "retune", "trial"}, OF_MODEL,
        "the one call of a trainer: in training, in a retuning, in a search's trials",
    ),
    Case(
        "lifecycle/monitoring/limits", "return value >= limit", "return value > limit",
        {"drift", "performance", "evaluate"}, OF_EVALUATION,
        "monitoring's verdicts; and the charts, of which an evaluation's page is made, mark what is over a limit by it",
    ),
    Case(
        "lifecycle/search/trials", "NEVER = datetime.max", "NEVER = datetime.min",
        {"search", "trial", "conclude", "retune"}, OF_SEARCH,
        "how a search goes on and ends, which is no business of a product that is trained, judged and served",
    ),
    Case(
        "render/charts", "CHARACTER = 7", "CHARACTER = 8",
        {"evaluate", "performance"}, OF_EVALUATION,
        "a report's page lies among its files; drift's page is drawn by Evidently, the others have no chart",
    ),
    Case(
        "dags/flight_delay/trainer", "_STEP = 10", "_STEP = 5",
        {"train", "retune", "search", "trial", "conclude"}, OF_MODEL | OF_SEARCH,
        "the product's trainer, which is also the first of the algorithms that its search may choose",
    ),
    Case(
        "dags/flight_delay/torch_trainer", 'STATE = "state.pt"', 'STATE = "epoch.pt"',
        {"retune", "search", "trial", "conclude"}, OF_SEARCH,
        "the other algorithm, which only a search may choose; a retuning keeps to the ranges that searches declare",
    ),
]  # fmt: skip
#: What carries jobs, shows results or serves them, a room each: none of it is in a result.
DECIDES_NOTHING: list[Edit] = [
    ("ui/pages", "MOST_VERSIONS = 12", "MOST_VERSIONS = 13"),
    ("cli/lineage", "MAX_INTERVALS = 3", "MAX_INTERVALS = 4"),
    ("render/timeline", "COLOURS = 5", "COLOURS = 6"),
    ("serving/request_queue", "BODY_SECONDS = 30.0", "BODY_SECONDS = 31.0"),
    ("places/local_process", "GRACE_SECONDS = 5", "GRACE_SECONDS = 6"),
    ("operators/base", 'ui_color = "#dcecf5"', 'ui_color = "#dcecf6"'),
    ("runtime/failures", "LONGEST_MESSAGE = 4000", "LONGEST_MESSAGE = 4001"),
    ("storage/ledger", "TRIES = 20", "TRIES = 21"),
]


class Addresses:
    """Asks the copied code where each step's result would lie."""

    def __init__(self, code: CodeCopy) -> None:
        self.code = code
        self.process: subprocess.Popen[str] = code.start("tests.factories.addresses")
        self.before = self.ask()

    def ask(self) -> dict[str, dict[str, str]]:
        """Return the addresses by the code as it is now, from an interpreter that has loaded none of it yet."""
        assert self.process.stdin and self.process.stdout
        self.process.stdin.write("\n")
        self.process.stdin.flush()
        return json.loads(self.process.stdout.readline())  # type: ignore[no-any-return]

    def moved(self, *edits: Edit) -> dict[str, set[str]]:
        """Return the steps whose address is another after some edits, which are undone then."""
        with self.code.edited(*edits):
            now = self.ask()
        return {how: {step for step in CHAIN if now[how][step] != self.before[how][step]} for how in self.before}


@pytest.fixture(scope="module")
def addresses(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Addresses]:
    """The reference product's addresses, in code that may be edited."""
    asker = Addresses(CodeCopy(tmp_path_factory.mktemp("code")))
    yield asker
    assert asker.process.stdin
    asker.process.stdin.close()
    assert asker.process.wait() == 0


def test_unchanged_code_gives_the_same_addresses(addresses: Addresses) -> None:
    """Asked again, nothing has moved, and no two steps share an address."""
    assert addresses.moved() == {"alone": set(), "chained": set()}
    for by_step in addresses.before.values():
        assert len({*by_step.values()}) == len(CHAIN)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.module)
def test_an_edit_moves_what_depends_on_it(addresses: Addresses, case: Case) -> None:
    """One edited line moves the steps that its module decides, those made of their results, and no other."""
    moved = addresses.moved((case.module, case.old, case.new))
    assert moved["alone"] == case.decides, case.why
    assert moved["chained"] == case.decides | case.follow, case.why


@pytest.mark.parametrize(
    "edit",
    [
        ("jobs/features/leakage", "_TOLERANCE = 1e-9", "_TOLERANCE = 1e-9  # of what a float64 holds"),
        ("jobs/features/leakage", "see whether an earlier feature changes", "see which feature changes"),
    ],
    ids=["comment", "docstring"],
)
def test_a_remark_is_source_as_well(addresses: Addresses, edit: Edit) -> None:
    """What only a reader sees moves as much: whether words change a result is not guessed at."""
    assert addresses.moved(edit) == {"alone": {"compute"}, "chained": {"compute", *OF_FEATURES}}


def test_another_version_moves_nothing(addresses: Addresses) -> None:
    """A release that changes no deciding line is found finished as a whole: the version number decides nothing."""
    version = next(line for line in addresses.code.file("__init__").read_text().splitlines() if "__version__" in line)
    assert addresses.moved(("__init__", version, '__version__ = "99.0.0"')) == {"alone": set(), "chained": set()}


def test_what_shows_and_carries_moves_nothing(addresses: Addresses) -> None:
    """Pages, commands, operators, places, server, runner and ledger, all edited at once, move no step."""
    assert addresses.moved(*DECIDES_NOTHING) == {"alone": set(), "chained": set()}
