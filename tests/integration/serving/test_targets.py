"""A model server on a cluster: applied, rolled out, every pod asked; whatever fails leaves what answered before."""

from __future__ import annotations

import json
import os
import random
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import kubernetes_validate
import pytest
import yaml

from airflow_mlops_provider.backends.model_server.kubernetes import cluster, server
from airflow_mlops_provider.backends.model_server.kubernetes.manifests import APPLIED
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.lifecycle.records.spec import JobSpec
from airflow_mlops_provider.lifecycle.references import BuiltImage
from airflow_mlops_provider.lifecycle.release.build import Build
from airflow_mlops_provider.operators.deployment import keep
from airflow_mlops_provider.runtime import runner
from airflow_mlops_provider.triggers.deployment import RolloutTrigger
from tests.factories.kube.deploying import ROLE, SERVER, TOKEN, PodsWorld, image
from tests.factories.kube.objects import rights
from tests.factories.kube.serving import serve
from tests.factories.rollouts import PLAN
from tests.factories.serving import NAME, make_rows

KILLS, SEED = int(os.environ.get("MLOPS_TEST_KILLS", "3")), 5
ALL = "MLOPS_TEST_TARGETS"
pytestmark = [
    pytest.mark.timeout(600),
    pytest.mark.skipif(not os.environ.get(ALL), reason=f"it starts a dozen servers as pods; run with {ALL}=1"),
]
BOOM = (sys.executable, "-c", "print('no such library: libboom.so'); raise SystemExit(3)")


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[PodsWorld]:
    """A product whose first version is live in two pods."""
    world = PodsWorld(tmp_path_factory.mktemp("targets"))
    with pytest.MonkeyPatch.context() as patched:
        for name, value in world.environment.items():
            patched.setenv(name, value)
        with world.live():
            yield world


@pytest.fixture
def world(deployed: PodsWorld) -> PodsWorld:
    """The same, whatever the test before has left: reconciled, and of one truth."""
    (running,) = deployed.settled().images()
    deployed.target = deployed.target.model_copy(update={"image": running, "replicas": 2})
    return deployed


def in_process(world: PodsWorld, **params: Any) -> Manifest:
    """Run a deployment in this process, in which a test may have patched something."""
    return runner.run(world.spec("deploy", **params))


def test_every_pod_answers_with_the_version(world: PodsWorld) -> None:
    """A new version needs no new pods: both follow the pointer, both are asked, the address is the Service's."""
    before = set(world.served())
    version = world.ready(1)
    told = world.deploy(version)
    assert told.state == "success" and told.result is not None, told.failure
    assert told.result.facts["url"] == f"http://{SERVER}:80"
    assert world.served() == dict.fromkeys(before, version.version)
    assert world.truth() == version.version


def test_what_is_applied_is_closed_and_owned_by_nobody(world: PodsWorld) -> None:
    """By digest, without root, token of the cluster or secret values; valid by Kubernetes' schema; no owner."""
    manifest = world.kube.objects.applied[-1]
    kubernetes_validate.validate(manifest, "1.25", strict=True)
    pod = manifest["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert container["image"] == world.target.image
    assert pod["automountServiceAccountToken"] is False and pod["securityContext"]["runAsNonRoot"] is True
    assert container["securityContext"] == {
        "allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]},
    }  # fmt: skip
    assert container["resources"]["limits"] and container["readinessProbe"] and container["livenessProbe"]
    assert manifest["spec"]["strategy"]["rollingUpdate"] == {"maxUnavailable": 0, "maxSurge": 1}
    assert not any(secret in json.dumps(manifest) for secret in world.environment.values())
    assert {"secretKeyRef": {"name": "serving", "key": "token"}} in [one.get("valueFrom") for one in container["env"]]
    assert "ownerReferences" not in manifest["metadata"]


def test_a_new_image_rolls_and_the_old_pod_goes_last(world: PodsWorld) -> None:
    """Never fewer than two pods can predict while both are replaced, and all run the new image afterwards."""
    before, world.kube.objects.fewest = set(world.served()), {}
    world.target = world.target.model_copy(update={"image": image("b")})
    version = world.ready(2)
    told = world.deploy(version)
    assert told.state == "success", told.failure
    assert world.images() == {image("b")} and not before & set(world.served())
    assert world.kube.objects.fewest[SERVER] == 2
    assert world.truth() == version.version


def test_the_image_that_the_ci_has_built_runs(world: PodsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """By its record and without another declaration; reconciliation keeps it, and the ledger names it."""
    monkeypatch.setenv("AIRFLOW__MLOPS__ARTIFACT_ROOT", str(world.root))
    built = BuiltImage.model_validate(keep(Build(image=image("f"), run="https://ci.example/7"), b"{}"))
    spec = world.spec("deploy", version=world.ready(1))
    told = runner.run(spec.model_copy(update={"inputs": {**spec.inputs, "image": built}}))
    assert told.state == "success", told.failure
    assert world.images() == {image("f")}
    assert world.settled().images() == {image("f")}
    names = [entry.evidence["image"]["name"] for entry in world.ledger.entries() if "image" in entry.evidence]
    assert names[-1] == image("f")


def test_an_image_that_crashes_is_taken_back(world: PodsWorld) -> None:
    """The error names pod, status and last log lines; the former image is applied again, its pods never went."""
    truth, pods, former = world.truth(), set(world.served()), world.target.image
    world.kube.objects.lives = [serve(instead=BOOM)]
    world.target = world.target.model_copy(update={"image": image("c")})
    told = world.deploy(world.ready(1))
    assert told.failure is not None and told.failure.error == "DeploymentError" and told.failure.retryable
    for words in (f"pod {SERVER}-", "CrashLoopBackOff", "status 3", "no such library: libboom.so"):
        assert words in told.failure.message, told.failure.message
    world.kube.until(lambda: world.served() == dict.fromkeys(pods, truth), 60)
    assert world.truth() == truth
    assert world.kube.objects.applied[-1]["spec"]["template"]["spec"]["containers"][0]["image"] == former


def test_a_pod_that_lags_is_named(world: PodsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """One of two pods that does not follow keeps the version from going live, and the other one goes back."""
    truth, slow = world.truth(), world.kube.objects.pods(SERVER)[0]
    world.kube.objects.lives = [serve("--poll=600")]
    slow.end(grace=0)
    world.kube.until(lambda: list(world.served().values()) == [truth, truth], 90)
    lagging = set(world.served()) - {life.name for life in world.kube.objects.pods(SERVER)[:1]}
    monkeypatch.setattr(server, "READY_SECONDS", 4)
    told = in_process(world, version=world.ready(1))
    assert told.failure is not None and told.failure.error == "DeploymentError"
    (name,) = lagging
    assert f"pod {name}: it serves {truth}" in told.failure.message, told.failure.message
    assert told.failure.message.count(f"pod {SERVER}-") == 1
    world.kube.until(lambda: set(world.served().values()) == {truth}, 30)
    assert world.truth() == truth
    next(life for life in world.kube.objects.pods(SERVER) if life.name == name).end(grace=0)
    world.kube.until(lambda: list(world.served().values()) == [truth, truth], 90)


def test_a_secret_that_is_not_there_is_named(world: PodsWorld) -> None:
    """In the kubelet's words, at once."""
    truth, pods = world.truth(), set(world.served())
    key = next(iter(world.target.secrets.values())).model_copy(update={"name": "forgotten"})
    right, world.target = (
        world.target,
        world.target.model_copy(update={"secrets": dict.fromkeys(world.target.secrets, key)}),
    )
    told = world.deploy(world.ready(1))
    world.target = right
    assert told.failure is not None and 'secret "forgotten" not found' in told.failure.message
    world.kube.until(lambda: world.served() == dict.fromkeys(pods, truth), 60)
    assert world.truth() == truth


@pytest.mark.parametrize("theirs", [lambda text, root: text.replace(root, "s3://another/root"), lambda *_: ""])
def test_what_others_applied_stays_theirs(world: PodsWorld, theirs: Callable[[str, str], str]) -> None:
    """Another team's server, or anything else of that name, is neither replaced nor ended, but named."""
    truth, pods, count = world.truth(), set(world.served()), len(world.kube.objects.applied)
    notes = world.kube.objects.find("Deployment", SERVER)["metadata"]["annotations"]
    ours, notes[APPLIED] = notes[APPLIED], theirs(notes[APPLIED], str(world.root))
    told = world.deploy(world.ready(1))
    notes[APPLIED] = ours
    assert told.failure is not None and (told.failure.error, told.failure.retryable) == ("ConfigurationError", False)
    assert f"deployment {SERVER} of namespace" in told.failure.message and "is others'" in told.failure.message
    assert len(world.kube.objects.applied) == count
    assert set(world.served()) == pods and world.truth() == truth


def test_the_api_goes_down_in_the_middle(world: PodsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """For a moment: waited out. For good: an error that a retry mends, and what answered before answers."""
    version = world.ready(1)
    world.kube.fault("PATCH", 503, 2)
    world.kube.fault("/pods", "reset", 1)
    assert world.deploy(version).state == "success"
    truth = world.truth()
    assert truth == version.version
    monkeypatch.setattr(cluster, "UNWELL", 1.0)
    version, at = world.ready(2), len(world.kube.requests)
    going = threading.Thread(target=lambda: told.append(in_process(world, version=version)))
    told: list[Manifest] = []
    going.start()
    world.kube.until(lambda: any(line.startswith("PATCH") for line in world.kube.requests[at:]))
    world.kube.down()
    going.join(60)
    world.kube.up()
    assert told[0].failure is not None and (told[0].failure.error, told[0].failure.retryable) == ("BackendError", True)
    world.kube.until(lambda: set(world.served().values()) == {truth}, 30)
    assert world.truth() == truth
    assert world.deploy(version).state == "success"
    assert world.truth() == version.version


def test_killed_and_tried_again(world: PodsWorld) -> None:
    """Killed at random points, with a new image on the way: a retry, or the next reconciliation, ends at one truth."""
    assert world.run(world.spec("deploy", version=world.ready(1)), die_at="log") == [0]
    points = [point for point in world.points() if int(point.rpartition(":")[2]) <= 3]
    choose, killed = random.Random(SEED), 0
    while killed < KILLS:
        before, point, version = world.truth(), choose.choice(points), world.ready(choose.randrange(3))
        world.target = world.target.model_copy(update={"image": image("de"[killed % 2])})
        (status,) = world.run(world.spec("deploy", version=version), die_at=point)
        killed += status == -9
        if killed % 2:
            assert world.run(world.spec("deploy", version=version)) == [0], point
            assert world.truth() == version.version, point
        report = world.reconcile()
        print(point, status, world.truths(), report.facts["repaired"], report.broken)
        assert report.passed, (point, report.broken)
        assert world.truth() in {before, version.version}, point


def test_reconciliation_asks_every_pod(world: PodsWorld) -> None:
    """A pod with another version than the live one is named, and put right; so is a server that was scaled away."""
    truth = world.truth()
    deployment = world.kube.objects.find("Deployment", SERVER)
    deployment["spec"]["replicas"] = 0
    world.kube.until(lambda: not world.served(), 60)
    report = world.reconcile()
    assert report.passed and report.facts["repaired"] == ["no replica of the model server is there"]
    assert world.truth() == truth and len(world.served()) == 2


def test_no_more_rights_than_needed(world: PodsWorld) -> None:
    """All that was done keeps to the shipped role, which lets nothing else be done; a lack of rights is named."""
    for kind in yaml.safe_load_all(ROLE.read_text()):
        kubernetes_validate.validate(kind, "1.25", strict=True)
    assert world.kube.objects.rules is not None
    explained = {("get", "", "pods/log")}  # only by a pod that could not start
    assert world.kube.objects.used | explained == set(rights(world.kube.objects.rules))
    rules, world.kube.objects.rules = world.kube.objects.rules, []
    told = in_process(world, version=world.ready(1))
    world.kube.objects.rules = rules
    assert told.failure is not None and told.failure.error == "ConfigurationError" and not told.failure.retryable
    assert "helm/deployer.yaml" in told.failure.message and "cannot get resource" in told.failure.message


def test_a_canary_is_the_same_in_every_pod(world: PodsWorld, monkeypatch: pytest.MonkeyPatch) -> None:
    """An entity is answered by one version whichever pod it meets; a pod that dies is named, and may come back."""
    truth, version = world.truth(), world.ready(1)
    plan = {**PLAN, "shadow": "PT0S", "canary": 0.5, "calls": 10_000, "within": "PT300S"}
    spec = world.spec("deploy", version=version)
    spec = spec.model_copy(update={"settings": {**spec.settings, "rollout": plan}})
    facts = _look(spec)
    assert facts["status"] == "canary" and len(facts["replicas"]) == 2
    addresses = [*facts["replicas"].values()]
    rows = [{**make_rows(1)[0], "customer": f"c{number}"} for number in range(24)]
    both = {truth, version.version}
    world.kube.until(lambda: all({_predict(url, row) for row in rows} == both for url in addresses), 30)
    answered = [[_predict(url, row) for row in rows] for url in addresses]
    assert answered[0] == answered[1] and {*answered[0]} == both
    connection = {"conn_type": "mlops_model_server", "password": TOKEN}
    monkeypatch.setenv("AIRFLOW_CONN_MLOPS_MODEL_SERVER", json.dumps(connection))
    phase = {name: facts["rollout"][name] for name in ("plan", "began", "first")}
    where = {"product": NAME, "address": "http://127.0.0.1:9", "replicas": facts["replicas"]}
    waiting = RolloutTrigger(**where, version=version.version, status="canary", **phase)
    assert waiting.look().text.startswith(f"version {version.version} in canary")
    gone = world.kube.objects.pods(SERVER)[0]
    gone.end(grace=0)
    assert waiting.look().text == f"pod {gone.name}: no word of version {version.version}"
    world.kube.until(lambda: list(world.served().values()) == [truth, truth], 90)
    assert _look(spec)["status"] == "canary"
    assert world.settled().truth() == truth


def _look(spec: JobSpec) -> dict[str, Any]:
    told = runner.run(spec)
    assert told.state == "success" and told.result is not None, told.failure
    return dict(told.result.facts)


def _predict(url: str, row: dict[str, object]) -> int:
    """Return which version answers a call."""
    headers = {"authorization": f"Bearer {TOKEN}"}
    answer = httpx.post(f"{url}/predict", json={"rows": [row]}, timeout=30, trust_env=False, headers=headers)
    return int(answer.json()["version"])


def test_a_rollout_is_judged_by_all_pods(world: PodsWorld) -> None:
    """A candidate needs forty calls, and neither of two pods has as many: their counts are added."""
    truth, version = world.truth(), world.ready(1)
    plan = {**PLAN, "shadow": "PT1S", "canary": 0, "calls": 40, "within": "PT150S"}

    def look() -> dict[str, Any]:
        spec = world.spec("deploy", version=version)
        return _look(spec.model_copy(update={"settings": {**spec.settings, "rollout": plan}}))

    assert look()["status"] == "shadow"
    addresses = [life.pod["status"]["podIP"] for life in world.kube.objects.pods(SERVER)]
    ends = time.monotonic() + 140
    while (facts := look())["status"] in {"shadow", "canary"} and time.monotonic() < ends:
        for ip in addresses:
            for _ in range(2):
                _predict(f"http://{ip}:8900", make_rows(1)[0])
    assert facts["status"] == "live", facts
    observed = [entry for entry in world.ledger.entries() if entry.version.version == version.version][-1].evidence
    assert 40 <= observed["observed"]["calls"] < 60
    assert truth != version.version == world.truth()
