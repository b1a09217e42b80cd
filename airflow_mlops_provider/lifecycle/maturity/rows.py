"""The rows of the paper's checklist, as data: what each means, which components it is about, what is looked at for it.

A row is about the components that its sentence speaks of. That a step can't run while some other component is down
is not counted: everything would hang on everything, and a red row would say nothing.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

from airflow_mlops_provider.lifecycle.maturity import principles, stages
from airflow_mlops_provider.lifecycle.maturity.seen import Check, Seen, both, same
from airflow_mlops_provider.lifecycle.maturity.verdict import Light, Verdict, guarded

#: Principles, components, roles, stages by their numbers, challenges left open: id, title, when it works, and the ids
#: of the components without which it can't be so.
TABLE = """
P1 | CI/CD automation | a push builds, tests and deploys; a failing test stops that and is named | C1 C2
P2 | workflow orchestration | order is kept; a retry goes on without doing finished work again | C3
P3 | reproducibility | a past run is made again, to the same figures | C2 C7
P4 | versioning | a version says those of its data, code, features, rules and environment | C7
P5 | collaboration | several roles work on one product, with owners and a review trail | C2
P6 | continuous training and evaluation | new data retrain; nothing goes on unevaluated | C3 C5
P7 | metadata tracking | every task leaves times, parameters, metrics and lineage | C7
P8 | continuous monitoring | data, model, code, infrastructure and serving each have a signal | C9
P9 | feedback loops | monitoring reaches experiments, data engineering and the scheduler | C3 C9
C1 | CI/CD | pipelines run, and a broken step is named | C1
C2 | source repository | every run knows its commit; uncommitted changes are flagged | C2
C3 | orchestration | the scheduler lives and DAG files can be read; runs follow their order and assets | C3
C4 | feature store | the same entity has the same values offline and online | C4
C5 | training infrastructure | a training runs at several kinds of place, by configuration | C5
C6 | model registry | a version gives back its artifact, metadata and status | C6
C7 | metadata store | model to data and code, and data to models, both answer | C7
C8 | serving | REST and batch say the same of the same rows | C4 C8
C9 | monitoring | accuracy, infrastructure, CI/CD and orchestration can all be seen | C9
R1 | business stakeholder | states goal, KPI and value, and sees the value that came of it | C9
R2 | solution architect | the stack decision is compared with what is configured |
R3 | data scientist | compares experiments and exports a winner, production untouched | C2
R4 | data engineer | owns rules and features, and hears with evidence what they lack | C4
R5 | software engineer | training and serving code is typed, and runs without Airflow |
R6 | DevOps engineer | deploys and goes back in one action, which is kept | C8
R7 | ML engineer | sees pipeline, model and serving in one place | C3
1 | goal | goal, KPI and owners are stated |
2 | stack decision | it is recorded, with reasons |
3 | problem type | it is declared, and sets metric and split |
4 | required data | sources and label are declared |
5 | sources | they are connected and checked, and labels are there |
6 | cleaning rules | they are versioned, and a change names its feedback | C2
7 | feature rules | they are versioned, and a change names its feedback | C2
8 | connection | batch, stream or cloud, by configuration |
9 | extraction | an interval that is read again gives one dataset |
10 | preprocessing | it reads the rules, and says which |
11 | feature computation | it reads the rules, and says which |
12 | feature load | offline and online, without duplicates | C4
13 | experiment data | from the feature store; a search can say that data must change | C4
14 | split | it is deterministic, validated and hashed |
15 | search | over algorithms and settings, on the training infrastructure | C5
16 | end of search | it stops for a reason, which is kept |
17 | export | the winner is committed, and CI runs on it | C1 C2
18 | training data | of versioned features | C4
19 | preparation | bad data stop a training before it begins |
20 | training | with the settings that experiments fixed | C5
21 | evaluation | with a bounded retuning below the gates | C5
22 | model export | it loads in a clean environment |
23 | registration | with code, environment, settings, lineage and status | C6 C7
24 | hand-over | a production-ready version is brought live by the deployment | C6 C8
25 | serving | REST from the online store, batch from the offline one; in a container, measured | C4 C8
26 | watching | model and infrastructure are watched, a crossed limit is reported | C9
27 | receivers | experiments, data engineering and scheduler hear of it | C9
28 | retraining | by drift, by new features, or by the clock | C3
O1 | product mindset | the value of each product is reported | C9
O2 | data-centric | data pass their gate before a model passes its |
O3 | skills | from nothing to a served model in fifteen minutes |
O4 | silos | each role has its view of one record |
O5 | fluctuating demand | a job that lacked memory or room is tried again with more | C5
O6 | manual work | none from data to candidate | C3
O7 | governance | audit of data, model and code | C6 C7
O8 | root cause | one command says whether data, code, model or infrastructure was it |
"""
FEATURES, TRAINING, EXPERIMENT = (
    f"let the pipeline {name} run" for name in ("feature_engineering", "training", "experimentation, by its form")
)
MONITOR = "let the pipeline monitoring run, until a limit is crossed"
AGAIN = "clear a finished task in Airflow: it must find its work"
ANSWER = "ask by the form of experimentation, and answer by airflow mlops feedback … --close"
METRICS = "define the connection mlops_prometheus"


def later(words: str) -> Check:
    """Return the check of what this release does not have."""
    return lambda _: Verdict(light=Light.GREY, evidence=f"not part of this release: {words}")


#: What is looked at for each row, and what to do where that is not green.
CHECKS: dict[str, tuple[Check, str]] = {
    "P1": (same("C1", "C2"), "see C1 and C2"),
    "P2": (principles.resumes, AGAIN),
    "P3": (principles.reproducible, "airflow mlops reproduce PRODUCT@VERSION"),
    "P4": (principles.versioned, TRAINING),
    "P5": (same("review"), "merge changes of several people by review, in the product's repository"),
    "P6": (principles.continuous, "deliver more data; a version without an evaluation is retired"),
    "P7": (principles.recorded, "let the pipelines of these stages run"),
    "P8": (principles.watched, "see C2, C8, C9 and stage 26"),
    "P9": (principles.loops, MONITOR),
    "C1": (same("C1"), "see the pipeline files of the repository"),
    "C2": (same("C2"), "keep the product's folder in a git repository, and commit"),
    "C3": (same("C3"), "start Airflow, and correct what can't be read"),
    "C4": (same("C4"), FEATURES),
    "C5": (both(principles.placed, same("C5")), "name another place for a training: docs/places.md"),
    "C6": (same("C6"), TRAINING),
    "C7": (same("C7"), TRAINING),
    "C8": (same("C8", "alike"), "ask /predict for an entity whose newest features batch has predicted with"),
    "C9": (principles.visible, METRICS),
    "R1": (principles.worth, "declare business=Business(…), and let monitoring run"),
    "R2": (same("stack"), "correct stack.toml, or what is configured"),
    "R3": (principles.explored, EXPERIMENT),
    "R4": (principles.heard, ANSWER),
    "R5": (same("typed"), "annotate the functions, and keep Airflow out of their modules"),
    "R6": (principles.one_action, "roll back once, by the form of deployment"),
    "R7": (same("pages"), "start Airflow's API server, where the package is installed"),
    "1": (both(stages.stated, stages.usable), "declare goal= and business=Business(kpi=…, owners=…)"),
    "2": (same("decision"), "airflow mlops doctor --write, then fill in each why"),
    "3": (stages.problem_typed, "declare problem="),
    "4": (stages.data_declared, "declare data=Data(sources=…)"),
    "5": (stages.data_proven, FEATURES),
    "6": (stages.answering("clean"), ANSWER),
    "7": (stages.answering("compute"), ANSWER),
    "8": (stages.connected, FEATURES),
    "9": (stages.idempotent, "clear an extract in Airflow: the same must come out"),
    "10": (stages.ruled("clean"), FEATURES),
    "11": (stages.ruled("compute"), FEATURES),
    "12": (same("loaded"), FEATURES),
    "13": (stages.data_wanted, EXPERIMENT),
    "14": (stages.split, TRAINING),
    "15": (stages.searched, EXPERIMENT),
    "16": (stages.stopped, EXPERIMENT),
    "17": (stages.exported, EXPERIMENT),
    "18": (stages.versioned_features, TRAINING),
    "19": (stages.gated, TRAINING),
    "20": (stages.trained, TRAINING),
    "21": (stages.evaluated, "nothing, until a model falls below its gates"),
    "22": (stages.exports_model, TRAINING),
    "23": (stages.registered, TRAINING),
    "24": (stages.handed_over, "let the pipeline deployment run"),
    "25": (stages.served, "let the pipeline batch_inference run, and ask /predict"),
    "26": (stages.alerted, MONITOR),
    "27": (principles.loops, MONITOR),
    "28": (principles.retrained, "deliver more data"),
    "O1": (principles.worth, "declare business=Business(…), and let monitoring run"),
    "O2": (principles.data_first, TRAINING),
    "O3": (principles.quick, "deliver the first intervals at once"),
    "O4": (later("the pages show every role the same"), ""),
    "O5": (principles.sized, "nothing, until a job lacks memory"),
    "O6": (same("by hand"), "let schedule and assets start the runs"),
    "O7": (same("chain"), "see C6 and C7"),
    "O8": (later("there is no such command"), ""),
}


class Row(NamedTuple):
    """A row of the checklist.

    :param works: when it counts as working.
    :param about: the components that it is about: it is red while one of them is off.
    """

    id: str
    title: str
    works: str
    about: tuple[str, ...]


def _rows() -> Iterator[Row]:
    for line in TABLE.strip().splitlines():
        name, title, works, about = (part.strip() for part in line.split("|"))
        yield Row(name, title, works, tuple(about.split()))


ROWS = tuple(_rows())


def judge(row: Row, seen: Seen) -> Verdict:
    """Return what a row comes to: red with the first of its components that is off, else what its check says."""
    off = next((component for component in row.about if seen.probes[component].off), None)
    check, step = CHECKS[off or row.id]
    verdict = seen.probes[off] if off else guarded(lambda: check(seen))
    return (
        verdict
        if verdict.next or verdict.light in (Light.GREEN, Light.GREY)
        else verdict.model_copy(update={"next": step})
    )
