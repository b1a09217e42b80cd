"""What is looked at in a product's code and repository: its pipelines of CI, its people, its functions."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.modules import source_file
from airflow_mlops_provider.backends.source.checkout import git
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.maturity.seen import ProductSeen
from airflow_mlops_provider.lifecycle.maturity.verdict import Verdict, red, shown, yellow
from airflow_mlops_provider.lifecycle.product import MLProduct

#: Where pipelines of CI are described, by vendor.
CI = {
    "github-actions": ".github/workflows/*.y*ml",
    "gitea-actions": ".gitea/workflows/*.y*ml",
    "forgejo-actions": ".forgejo/workflows/*.y*ml",
    "gitlab-ci": ".gitlab-ci.yml",
    "jenkins": "Jenkinsfile",
    "bitbucket-pipelines": "bitbucket-pipelines.yml",
    "azure-pipelines": "azure-pipelines.yml",
    "circleci": ".circleci/config.yml",
}
#: How many folders above a product's its repository may begin.
UP = 4
_CODE = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def ci_files(product: str) -> tuple[str, list[Path]]:
    """Return the vendor and the files of the nearest pipelines of CI in or above a product's folder; none at all."""
    folder = source_file(f"{product}.product").parent
    for base in (folder, *folder.parents)[: UP + 1]:
        for vendor, pattern in CI.items():
            if files := sorted(base.glob(pattern)):
                return vendor, files
    return "none", []


def pipelines(seen: ProductSeen) -> Verdict:
    """Look at the pipelines of CI: are there any, can they be read, do they start on a push and have jobs."""
    import yaml

    vendor, files = ci_files(seen.product.name)
    if not files:
        return red("no pipeline of CI in or above the product's folder", "add one, such as .github/workflows/ci.yml")
    lines = []
    for file in files:
        if file.suffix:
            try:
                described = yaml.safe_load(file.read_text("utf-8"))
            except yaml.YAMLError as error:
                return red(f"{file} is no YAML: {error}", "correct it")
            lines.append(f"{file.name} ({_jobs(file, described, actions='actions' in vendor)})")
    words = f"{vendor}: {', '.join(lines) or files[0].name}"
    return yellow(words + "; that it ran is not seen from here", "look at its last run on the forge")


def _jobs(file: Path, described: Any, *, actions: bool) -> str:
    """Return the names of a pipeline's jobs. :raises ConfigurationError: if it has none, or no push starts it."""
    given = described if isinstance(described, dict) else {}
    jobs = given.get("jobs") if actions else given
    started = given.get("on", given.get(True)) if actions else "push"  # YAML reads a bare `on` as a truth value
    if not jobs or not isinstance(jobs, dict):
        raise ConfigurationError(f"{file} has no jobs")
    if "push" not in (started if isinstance(started, dict | list) else [started]):
        return f"not started by a push: {', '.join(jobs)}"
    return ", ".join(map(str, jobs))


def people(seen: ProductSeen) -> Verdict:
    """Look who owns a product, and who has changed its code."""
    folder = source_file(f"{seen.product.name}.product").parent
    authors = set(git("-C", str(folder), "log", "--format=%ae", "--", ".").decode().split())
    business = getattr(seen.product, "business", None)
    owners = {owner for _, owner in (business.owners if business and business.owners else ())}
    proposed = [made for made in seen.of("export_settings") if made.result and made.result.facts.get("pull_request")]
    there = {"several owners": len(owners) > 1, "commits of several people": len(authors) > 1, "a review": proposed}
    words = f"{len(owners)} owners, {len(authors)} authors, {len(proposed)} pull requests of experiments"
    return shown(words, (name for name, value in there.items() if not value))


def functions(seen: ProductSeen) -> Verdict:
    """Look whether the product's functions are annotated, and their modules do without Airflow."""
    plain, count = [], 0
    for code in sorted(named(seen.product)):
        module, _, name = code.partition(":")
        tree = ast.parse(source_file(module).read_bytes())
        if "airflow" in {imported.partition(".")[0] for imported in _imports(tree)}:
            return red(f"{module} imports Airflow")
        count += 1
        plain += [code for node in tree.body if getattr(node, "name", "") == name and not _annotated(node)]
    lacking = plain if count else ["any function by name"]
    return shown(f"{count} functions, none in a module that imports Airflow", lacking, "without annotations")


def named(product: MLProduct) -> set[str]:
    """Return the functions that a product names and has in its own package."""
    return {text for text in _texts(product.to_json()) if _CODE.fullmatch(text) and text.startswith(f"{product.name}.")}


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _texts(part)


def _imports(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield node.module


def _annotated(node: ast.AST) -> bool:
    if not isinstance(node, ast.FunctionDef):
        return True
    given = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
    return node.returns is not None and all(argument.annotation for argument in given)
