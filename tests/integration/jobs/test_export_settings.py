"""An experiment's winner goes to git: real repositories, real HTTP, and the forges' APIs."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from airflow_mlops_provider.jobs.experimentation.conclude import winner as described
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import Repository, Services
from airflow_mlops_provider.lifecycle.references import Report
from airflow_mlops_provider.lifecycle.search.declaration import Algorithm
from airflow_mlops_provider.lifecycle.search.trials import Trial
from airflow_mlops_provider.lifecycle.settings import FILE, TrainerSettings, branch_of
from airflow_mlops_provider.runtime.runner import run
from tests.factories.forge import ForgeWorld, bare, branches, git, repository
from tests.factories.record import leave
from tests.factories.tiny import TinyWorld

TOKEN = "sesame-4711-open"
STUDY = "weekly search"
DECLARED = "from airflow_mlops_provider.lifecycle.settings import TrainerSettings\n"
BEST: dict[str, Any] = {
    "trial": 4,
    "algorithm": "trees",
    "code": "shop.trainer:train",
    "flavor": "lightgbm",
    "requires": ["lightgbm"],
    "settings": {"rounds": 60, "rate": 0.1},
    "seed": 13,
    "value": 0.7321,
    "metric": "roc_auc",
}
SPACE: dict[str, Any] = {"rounds": {"kind": "int", "low": 10, "high": 100}}


class Shop:
    """A product, its repository with a bare remote of it, and searches that ended."""

    def __init__(self, folder: Path) -> None:
        self.world = TinyWorld(folder)
        self.path = f"dags/{self.world.name}"
        fixed = TrainerSettings(code="shop.trainer:train", settings={"rounds": 40, "rate": 0.1}, requires=("lightgbm",))
        files = {f"{self.path}/product.py": DECLARED, f"{self.path}/{FILE}": fixed.text(), "README.md": "A shop.\n"}
        self.checkout = repository(folder / "checkout", files)
        self.remote = bare(self.checkout, folder / "remote.git")
        self.fixed = fixed
        self.branch = branch_of(self.world.name, STUDY)

    def export(self, source: dict[str, Any] | None = None, study: str = STUDY, **best: Any) -> Manifest:
        """Run the job on a search that ended, towards a repository: the bare one, if no other is named."""
        facts = {"study": study, "stopped": "all 24 trials\nhave ended", "trials": 24, "best": {**BEST, **best}}
        return self.exported(facts, source)

    def exported(self, facts: dict[str, Any], source: dict[str, Any] | None = None) -> Manifest:
        """Run the job on the report of a search, which says this."""
        files = {"search.json": json.dumps(facts).encode()}
        passed = facts["best"] is not None
        report = leave(
            self.world.spec("export_settings", interval=None).model_copy(update={"job": "conclude"}),
            Report,
            files,
            passed=passed,
            facts=facts,
        )
        place = Repository(**{"remote": str(self.remote), "path": self.path, **(source or {})})
        asked = self.world.spec("export_settings", inputs={"search": report}, interval=None)
        services = Services(landing="", mlflow="", source=place)
        return run(asked.model_copy(update={"services": services}))

    def shown(self, branch: str) -> str:
        """Return the settings file as it is on a branch of the bare remote."""
        return git(self.remote, "show", f"{branch}:{self.path}/{FILE}") + "\n"


@pytest.fixture
def shop(tmp_path: Path) -> Iterator[Shop]:
    """A shop of its own."""
    one = Shop(tmp_path)
    yield one
    one.world.close()


@pytest.fixture
def forge(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., ForgeWorld]]:
    """Return a function that starts a forge with the shop's remote on it; its token is in the job's environment."""
    monkeypatch.setenv("MLOPS_SOURCE_TOKEN", TOKEN)
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    running: list[ForgeWorld] = []

    def start(**settings: Any) -> ForgeWorld:
        world = ForgeWorld({settings.pop("path", "team/models"): shop.remote}, TOKEN, **settings)
        running.append(world.__enter__())
        return world

    yield start
    for world in running:
        world.__exit__()


def facts(manifest: Manifest) -> dict[str, Any]:
    """Return what a successful export says."""
    assert manifest.state == "success", manifest.failure
    assert manifest.result is not None
    return manifest.result.facts


def failed(manifest: Manifest, error: str, retryable: bool) -> str:
    """Return the message of an export that failed in a certain way."""
    assert manifest.failure is not None
    assert (manifest.failure.error, manifest.failure.retryable) == (error, retryable), manifest.failure.message
    return manifest.failure.message


def test_the_winner_is_a_commit_on_a_branch(shop: Shop) -> None:
    """One file changes, on a branch named after product and study; author and committer are the product's owners."""
    before = branches(shop.remote)
    told = facts(shop.export())
    after = branches(shop.remote)
    assert (told["state"], told["branch"], told["base"]) == ("committed", shop.branch, "main")
    assert after == {**before, shop.branch: told["commit"]}
    assert git(shop.remote, "diff", "--name-only", "main", shop.branch) == f"{shop.path}/{FILE}"
    assert git(shop.remote, "log", "-1", "--format=%an|%ae|%cn|%ce", shop.branch) == "|".join(
        ["somebody", "somebody@shop.example"] * 2
    )
    settings = TrainerSettings.parse(shop.shown(shop.branch))
    assert settings.settings == BEST["settings"]
    assert settings.provenance is not None
    assert (settings.provenance.study, settings.provenance.trial, settings.provenance.value) == (STUDY, 4, 0.7321)
    assert told["changes"] == [["settings.rounds", 40, 60]]
    message = git(shop.remote, "log", "-1", "--format=%B", shop.branch)
    for words in (STUDY, "Trial 4 of 24", "roc_auc 0.7321", "all 24 trials have ended", "settings.rounds: 40 -> 60"):
        assert words in message


def test_the_file_is_an_artifact_too(shop: Shop) -> None:
    """What is committed also lies in the artifact store, byte for byte."""
    result = shop.export().result
    assert result is not None
    assert Path(result.uri.removeprefix("file://"), FILE).read_text() == shop.shown(shop.branch)


def test_a_retry_adds_nothing(shop: Shop) -> None:
    """A second run of the same export finds the commit, also after people went on working on the branch."""
    first = facts(shop.export())
    assert facts(shop.export()) == {**first, "state": "found"}
    git(shop.checkout, "fetch", "--quiet", str(shop.remote), shop.branch)
    git(shop.checkout, "checkout", "--quiet", "-b", "review", "FETCH_HEAD")
    (shop.checkout / "README.md").write_text("Reviewed.\n")
    git(shop.checkout, "commit", "--quiet", "--all", "--message", "Look at it")
    git(shop.checkout, "push", "--quiet", str(shop.remote), f"review:{shop.branch}")
    now = branches(shop.remote)
    assert facts(shop.export())["commit"] == first["commit"]
    assert branches(shop.remote) == now


def test_a_better_winner_of_the_same_study_comes_on_top(shop: Shop) -> None:
    """A search that went on adds a commit to its branch; nothing is overwritten."""
    first = facts(shop.export())
    second = facts(shop.export(trial=30, value=0.75, settings={"rounds": 80, "rate": 0.1}))
    assert git(shop.remote, "rev-parse", f"{second['commit']}^") == first["commit"]
    assert TrainerSettings.parse(shop.shown(shop.branch)).settings["rounds"] == 80


def test_merging_it_is_all_there_is_to_do(shop: Shop) -> None:
    """After the merge production trains with it, and exporting the same settings again says so and does nothing."""
    told = facts(shop.export())
    git(shop.checkout, "fetch", "--quiet", str(shop.remote), told["branch"])
    git(shop.checkout, "merge", "--quiet", "--ff-only", "FETCH_HEAD")
    merged = TrainerSettings.read(shop.checkout / shop.path / FILE)
    assert merged.trainer().settings == BEST["settings"]
    git(shop.checkout, "push", "--quiet", str(shop.remote), "main")
    now = branches(shop.remote)
    again = facts(shop.export(study="another"))
    assert (again["state"], again["branch"], again["pull_request"]) == ("unchanged", None, None)
    assert branches(shop.remote) == now


def test_a_local_repository_gets_a_branch_and_keeps_its_work(shop: Shop) -> None:
    """The repository that a person works in gets the branch; its files, index and checked-out branch stay."""
    (shop.checkout / "README.md").write_text("Half a thought")
    git(shop.checkout, "add", "README.md")
    before = git(shop.checkout, "status", "--porcelain", "--branch")
    told = facts(shop.export({"remote": str(shop.checkout)}))
    assert git(shop.checkout, "status", "--porcelain", "--branch") == before
    assert branches(shop.checkout)[told["branch"]] == told["commit"]


def test_users_settings_and_hooks_have_no_say(shop: Shop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither ~/.gitconfig nor what Git's variables point to changes what is committed, or runs anything."""
    hooks = tmp_path / "hooks"
    hooks.mkdir()
    for name in ("pre-push", "post-commit", "reference-transaction", "pre-receive"):
        (hooks / name).write_text(f"#!/bin/sh\ntouch {tmp_path}/ran\nexit 1\n")
        (hooks / name).chmod(0o755)
    home = tmp_path / "home"
    home.mkdir()
    config = {
        "core.hooksPath": str(hooks),
        "commit.gpgSign": "true",
        "user.name": "Else",
        "url./no/.insteadOf": "file://",
    }
    for name, value in config.items():
        git(home, "config", "--file", str(home / ".gitconfig"), name, value)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("GIT_DIR", str(tmp_path / "nowhere"))
    monkeypatch.setenv("GIT_AUTHOR_NAME", "Else")
    told = facts(shop.export())
    for name in ("GIT_DIR", "GIT_AUTHOR_NAME"):
        monkeypatch.delenv(name)
    assert git(shop.remote, "log", "-1", "--format=%an", told["commit"]) == "somebody"
    assert not (tmp_path / "ran").exists()


def test_a_base_without_the_file_gets_one(shop: Shop, caplog: pytest.LogCaptureFixture) -> None:
    """Where production declares its trainer in Python, the file is proposed, and it is said that nothing reads it."""
    (shop.checkout / shop.path / "product.py").write_text("product = MLProduct(trainer=Trainer(code='a:b'))\n")
    git(shop.checkout, "rm", "--quiet", f"{shop.path}/{FILE}")
    git(shop.checkout, "commit", "--quiet", "--all", "--message", "Declare it in Python")
    git(shop.checkout, "push", "--quiet", str(shop.remote), "main")
    assert facts(shop.export())["state"] == "committed"
    assert "does not read settings.json yet" in caplog.text


def test_no_winner_is_no_commit(shop: Shop) -> None:
    """A search in which nothing was completed exports nothing, and its report says so."""
    before = branches(shop.remote)
    manifest = shop.exported({"study": "s", "best": None})
    assert facts(manifest) == {"state": "no winner"}
    assert branches(shop.remote) == before


def test_words_from_a_study_cannot_pose_as_ours(shop: Shop) -> None:
    """Line breaks in names and reasons begin no line of the message: no trailer can be smuggled in."""
    told = facts(shop.export(study="x\n\nMLOps-Export: 0123\nSigned-off-by: boss", algorithm="a\nb"))
    lines = git(shop.remote, "log", "-1", "--format=%B", told["commit"]).splitlines()
    assert not [line for line in lines if line.startswith(("Signed-off-by", "MLOps-Export: 0123"))]
    assert sum(line.startswith("MLOps-Export: ") for line in lines) == 1


@pytest.mark.parametrize(
    ("source", "error", "said"),
    [
        ({"path": "dags/other"}, "ConfigurationError", "has no product.py in 'dags/other'"),
        ({"path": "../up"}, "ConfigurationError", "no folder inside a repository"),
        ({"base": "production"}, "UnknownNameError", "unknown branch 'production'; known: main"),
        ({"base": "--upload-pack=touch x"}, "ConfigurationError", "is no branch name"),
        ({"remote": "/nowhere/at/all.git"}, "ConfigurationError", "there is no such repository"),
        ({"remote": "ext::sh -c touch% /tmp/x"}, "ConfigurationError", "is no git remote"),
        ({"remote": "--upload-pack=touch /tmp/x"}, "ConfigurationError", "is no git remote"),
        ({"remote": "https://ann:sesame@git.example/x.git"}, "ConfigurationError", "may bear no user and password"),
        ({"remote": "http://127.0.0.1:9/team/models.git"}, "BackendError", "does not answer; a retry may help"),
        ({"forge": "github"}, "ConfigurationError", "needs a token"),
    ],
)
def test_what_cannot_work_says_what_to_do(shop: Shop, source: dict[str, Any], error: str, said: str) -> None:
    """A wrong remote, branch or folder is an error of ours that says what to change, and whether a retry helps."""
    message = failed(shop.export(source), error, retryable=error == "BackendError")
    assert said in message
    assert "sesame" not in message


def test_a_report_of_something_else_is_refused(shop: Shop) -> None:
    """A report that describes no trainer is refused by the field that is missing or wrong."""
    assert "KeyError: 'code'" in failed(_without(shop, "code"), "ConfigurationError", retryable=False)
    assert "flavor" in failed(shop.export(flavor="pickle"), "ConfigurationError", retryable=False)


def test_what_a_search_concludes_can_be_exported(shop: Shop) -> None:
    """The winner as the search's last job describes it is the trainer that is committed, field by field."""
    algorithm = Algorithm(**{**shop.fixed.trainer().to_json(), "settings": {"kind": "gbdt"}}, name="trees", space=SPACE)
    trial = Trial(slot=7, state="complete", algorithm="trees", params={"rounds": 70}, value=0.8)
    best = described("roc_auc", trial, [algorithm])
    facts(shop.export(**{"algorithm": "", **(best or {})}))
    committed = TrainerSettings.parse(shop.shown(shop.branch))
    assert committed.trainer() == algorithm.trainer({"rounds": 70})
    assert committed.provenance is not None
    assert (committed.provenance.trial, committed.provenance.value, committed.provenance.metric) == (7, 0.8, "roc_auc")


def _without(shop: Shop, name: str) -> Manifest:
    best = {field: value for field, value in BEST.items() if field != name}
    return shop.exported({"study": "s", "stopped": "x", "trials": 1, "best": best})


def test_a_branch_checked_out_elsewhere_is_not_forced(shop: Shop) -> None:
    """What the remote does not allow is said in its own words, and not tried again."""
    git(shop.checkout, "checkout", "--quiet", "-b", shop.branch)
    source = {"remote": str(shop.checkout), "base": "main"}
    message = failed(shop.export(source), "ConfigurationError", retryable=False)
    assert "checked out" in message


KINDS = ["github", "gitlab", "gitea"]


@pytest.mark.parametrize("kind", KINDS)
def test_a_pull_request_is_opened_once(shop: Shop, forge: Callable[..., ForgeWorld], kind: str) -> None:
    """Pushed over HTTP with a token, the branch gets one pull request with the figures; a retry finds it."""
    world = forge(kind=kind)
    source = {"remote": world.remote(), "forge": kind}
    told = facts(shop.export(source))
    assert (told["state"], len(world.pulls)) == ("committed", 1)
    assert told["pull_request"].startswith(f"{world.url}/team/models/")
    pull = world.pulls[0]
    assert (pull["head"], pull["base"]) == (shop.branch, "main")
    for words in ("roc_auc 0.7321", "Trial 4 of 24", "settings.rounds: 40 -> 60"):
        assert words in pull["title"] + pull["body"]
    assert facts(shop.export(source)) == {**told, "state": "found"}
    assert len(world.pulls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_a_try_that_ended_before_the_pull_request_is_finished(
    shop: Shop, forge: Callable[..., ForgeWorld], kind: str
) -> None:
    """The forge fails after the push; the retry finds the commit and opens what is missing."""
    world = forge(kind=kind, fails=[(503, {"message": "come back later"}, {})])
    source = {"remote": world.remote(), "forge": kind}
    assert "come back later; a retry may help" in failed(shop.export(source), "BackendError", retryable=True).replace(
        "(come back later)", "come back later"
    )
    pushed = branches(shop.remote)[shop.branch]
    told = facts(shop.export(source))
    assert (told["state"], told["commit"], len(world.pulls)) == ("found", pushed, 1)


@pytest.mark.parametrize("kind", KINDS)
def test_a_pull_request_opened_in_between_is_found(shop: Shop, forge: Callable[..., ForgeWorld], kind: str) -> None:
    """Somebody opens it between our look and our request: the forge refuses a second one, and theirs is taken."""
    world = forge(kind=kind)
    source = {"remote": world.remote(), "forge": kind}
    facts(shop.export(source))
    world.fails = [(200, [], {})]
    assert facts(shop.export(source))["pull_request"].rpartition("/")[2] == "1"
    assert len(world.pulls) == 1


@pytest.mark.parametrize("kind", KINDS)
def test_others_pull_requests_are_not_ours(shop: Shop, forge: Callable[..., ForgeWorld], kind: str) -> None:
    """Closed ones, those of other branches on many pages, and one from a fork's branch of the same name don't count."""
    world = forge(kind=kind)
    common = {"base": "main", "project": "team/models", "title": "x", "body": ""}
    for number in range(1, 131):
        world.pulls.append({**common, "number": number, "head": f"b{number}", "state": "open"})
    world.pulls.append({**common, "number": 131, "head": shop.branch, "state": "closed"})
    world.pulls.append({**common, "number": 132, "head": shop.branch, "state": "open", "from": "mallory/models"})
    source = {"remote": world.remote(), "forge": kind}
    if kind == "gitea":  # the others' double would refuse a second open one, as those forges do not
        world.pulls[-1]["base"] = "other"
    else:
        world.pulls.pop()
    assert facts(shop.export(source))["pull_request"].rpartition("/")[2] == str(len(world.pulls))
    assert facts(shop.export(source))["pull_request"].rpartition("/")[2] == str(len(world.pulls))


def test_groups_in_groups_are_one_project(shop: Shop, forge: Callable[..., ForgeWorld]) -> None:
    """GitLab's nested groups reach its API as one encoded path."""
    world = forge(kind="gitlab", path="team/data/models")
    told = facts(shop.export({"remote": world.remote("team/data/models"), "forge": "gitlab"}))
    assert told["pull_request"] == f"{world.url}/team/data/models/-/merge_requests/1"


def test_an_api_elsewhere_is_used(shop: Shop, forge: Callable[..., ForgeWorld]) -> None:
    """A remote that git reaches otherwise than the API has its API named."""
    world = forge(kind="gitea", path="team/models")
    told = facts(
        shop.export({"remote": world.remote(), "forge": "gitea", "api": f"{world.url}/api/v1/"}),
    )
    assert told["pull_request"].endswith("/team/models/pull/1")


ANSWERS = {
    "a token without the right": (
        (403, {"message": "Resource not accessible"}, {}),
        "ConfigurationError",
        "give a token",
    ),
    "a repository out of sight": ((404, {"message": "Not Found"}, {}), "ConfigurationError", "give a token"),
    "too many requests": ((403, {"message": "limit"}, {"x-ratelimit-remaining": "0"}), "BackendError", "a retry may"),
    "slow down": ((429, {"message": "slow down"}, {"retry-after": "5"}), "BackendError", "a retry may help"),
    "moved": ((301, {"message": "Moved"}, {"Location": "http://127.0.0.1:9/"}), "ConfigurationError", "has moved"),
    "broken": ((502, ["not", "an", "object"], {}), "BackendError", "a retry may help"),
}


@pytest.mark.parametrize("name", ANSWERS)
def test_what_a_forge_answers_is_understood(shop: Shop, forge: Callable[..., ForgeWorld], name: str) -> None:
    """Each refusal says what to do, and is tried again only where that can help; the token never shows."""
    answer, error, said = ANSWERS[name]
    world = forge(fails=[answer])
    message = failed(shop.export({"remote": world.remote(), "forge": "github"}), error, error == "BackendError")
    assert said in message
    assert TOKEN not in message


def test_wrong_credentials_are_said_to_be_that(
    shop: Shop, forge: Callable[..., ForgeWorld], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A token that the remote refuses is not tried again, nor shown; nor is one asked for at a terminal."""
    world = forge()
    monkeypatch.setenv("MLOPS_SOURCE_TOKEN", "wrong-token-8812")
    message = failed(shop.export({"remote": world.remote()}), "ConfigurationError", retryable=False)
    assert "refuses these credentials" in message
    assert "wrong-token" not in message
    monkeypatch.delenv("MLOPS_SOURCE_TOKEN")
    message = failed(shop.export({"remote": world.remote()}), "ConfigurationError", retryable=False)
    assert "refuses these credentials" in message


def test_a_repository_that_is_not_there_is_said(shop: Shop, forge: Callable[..., ForgeWorld]) -> None:
    """A remote whose host answers but has no such repository is not tried again."""
    world = forge()
    message = failed(shop.export({"remote": world.remote("team/other")}), "ConfigurationError", retryable=False)
    assert "there is no such repository" in message


def test_two_exports_at_once_leave_one_commit(shop: Shop, forge: Callable[..., ForgeWorld]) -> None:
    """Somebody else pushes the branch between our look and our push: ours is refused, and a retry looks again."""
    world = forge(kind="gitea")

    def other(_: str) -> None:
        world.tampers = None
        git(shop.checkout, "commit", "--quiet", "--allow-empty", "--message", "Faster")
        git(shop.checkout, "push", "--quiet", str(shop.remote), f"HEAD:refs/heads/{shop.branch}")

    world.tampers = other
    failed(shop.export({"remote": world.remote()}), "ConflictError", retryable=True)
    told = facts(shop.export({"remote": world.remote()}))
    assert git(shop.remote, "log", "--format=%s", "-2", told["commit"]).splitlines()[1] == "Faster"


def test_the_token_is_nowhere(
    shop: Shop,
    forge: Callable[..., ForgeWorld],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capfd: Any,
    caplog: Any,
) -> None:
    """Not in any file, log, message, ref or command line, plain or encoded; git's trace variables do not reach it."""
    import base64

    trace = tmp_path / "trace.log"
    for name in ("GIT_TRACE", "GIT_TRACE_CURL", "GIT_CURL_VERBOSE"):
        monkeypatch.setenv(name, str(trace))
    calls: list[list[str]] = []
    real = subprocess.run

    def watched(command: Any, **settings: Any) -> Any:
        calls.append(list(command))
        return real(command, **settings)

    monkeypatch.setattr("airflow_mlops_provider.backends.source.git.subprocess.run", watched)
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    caplog.set_level("DEBUG")
    world = forge(user="ann")
    monkeypatch.setenv("MLOPS_SOURCE_USER", "ann")
    manifests = [shop.export({"remote": world.remote(), "forge": "github"})]
    world.fails = [(500, {"message": f"you sent Bearer {TOKEN}"}, {})]
    manifests.append(shop.export({"remote": world.remote(), "forge": "github"}))
    assert [one.state for one in manifests] == ["success", "failed"]
    assert any("push" in call for call in calls)
    seen = capfd.readouterr()
    texts = [seen.out, seen.err, caplog.text, json.dumps(calls), *(one.model_dump_json() for one in manifests)]
    files = [path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()]
    for form in (TOKEN, base64.b64encode(f"ann:{TOKEN}".encode()).decode()):
        assert not [text[:200] for text in texts if form in text]
        assert not [data[:200] for data in files if form.encode() in data]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a repository to somebody else")
def test_anothers_repository_is_said_to_be_that(shop: Shop) -> None:
    """Git does not trust a repository of another user; the error says what to name instead."""
    for path in [shop.remote, *shop.remote.rglob("*")]:
        os.chown(path, 12345, 12345)
    message = failed(shop.export(), "ConfigurationError", retryable=False)
    assert "belongs to another user" in message
