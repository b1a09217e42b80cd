"""The code that recorded jobs ran: found again byte for byte, or compared with the code that stands here now."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import airflow_mlops_provider
from airflow_mlops_provider.backends.modules import source_file
from airflow_mlops_provider.backends.source import checkout
from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.product import MLProduct
from airflow_mlops_provider.lifecycle.records import reproduction
from airflow_mlops_provider.lifecycle.records.manifest import Commit, Manifest
from airflow_mlops_provider.lifecycle.records.reproduction import Finding, first_change
from airflow_mlops_provider.runtime import code
from airflow_mlops_provider.runtime.address import code_hashes
from airflow_mlops_provider.runtime.definition import find_job
from airflow_mlops_provider.storage.artifacts import file_hash

PROVIDER = airflow_mlops_provider.__name__
#: So many modules that differ are named in an error.
MOST_NAMED = 3
PROVIDER_FOLDER = Path(airflow_mlops_provider.__file__).parent.parent


@dataclass(frozen=True)
class Code:
    """Where a recorded job's code lies, byte for byte.

    :param users: the folders that hold the product's package, first, and what it imports of other folders.
    :param provider: the folder that holds this provider's package: the installed one unless its job was another.
    """

    users: tuple[Path, ...]
    provider: Path

    def runs(self, manifest: Manifest) -> bool:
        """Say whether this is the code that a recorded job ran, in every module."""
        return not any(self.differing(manifest))

    def differing(self, manifest: Manifest) -> Iterator[str]:
        """Yield each module that is not what a recorded job ran, with both hashes."""
        for module, was in manifest.code_hashes.items():
            if (now := self._hash(module)) != was:
                yield f"{module} (recorded {reproduction.short(was)}, here {reproduction.short(now or 'none')})"

    def _hash(self, module: str) -> str | None:
        folders = (self.provider,) if module.startswith(f"{PROVIDER}.") else self.users
        bases = (folder.joinpath(*module.split(".")) for folder in folders)
        files = (file for base in bases for file in (base / "__init__.py", base.with_name(f"{base.name}.py")))
        return next((file_hash(file) for file in files if file.is_file()), None)


def code_in(tree: Path, manifest: Manifest) -> Code | None:
    """Return where in a tree of files a recorded job's code lies; None unless every module is there as recorded."""
    declared = sorted(tree.rglob(f"{manifest.spec.product}/product.py"))
    beside = (path.parent for top in _others(manifest) for path in (*tree.rglob(top), *tree.rglob(f"{top}.py")))
    further = sorted(beside)
    users = [tuple(dict.fromkeys((file.parents[1], *further))) for file in declared]
    candidates = (Code(folders, provider) for provider in (PROVIDER_FOLDER, tree) for folders in users)
    return next((candidate for candidate in candidates if candidate.runs(manifest)), None)


def code_here(manifest: Manifest) -> Code | None:
    """Return the code that stands here now, if it is what a recorded job ran."""
    here = _here(manifest)
    return here if here and here.runs(manifest) else None


def not_here(manifest: Manifest) -> str:
    """Say why the code that stands here now is not what a recorded job ran."""
    here = _here(manifest)
    if here is None:
        return f"there is no package {manifest.spec.product} here (--dags names the folder that holds it)"
    modules = list(here.differing(manifest))
    more = f" and {len(modules) - MOST_NAMED} more" if len(modules) > MOST_NAMED else ""
    return f"the code here is another: {', '.join(modules[:MOST_NAMED])}{more}"


def _here(manifest: Manifest) -> Code | None:
    product = manifest.spec.product
    if not code.is_importable(product):
        return None
    return Code(tuple(code.roots([product, *_others(manifest)])), PROVIDER_FOLDER)


def _others(manifest: Manifest) -> list[str]:
    """Return the top packages, beside the product's and ours, whose modules a recorded job ran."""
    return sorted({module.partition(".")[0] for module in manifest.code_hashes} - {PROVIDER, manifest.spec.product})


def repository_here(product: str) -> str | None:
    """Return the repository that a product's package lies in here; None if there is no such package or repository."""
    try:
        return code.commit_of(f"{product}.product").repository
    except ConfigurationError:
        return None


def findings(recorded: Manifest, present: MLProduct) -> Iterator[Finding]:
    """Compare the declaration that a recorded job read, and its code, with those that stand here now."""
    job, settings = find_job(recorded.spec.job), recorded.spec.settings
    if job.settings.declared:
        settings = job.parts_of(present, recorded.spec.params)["settings"]
    here = recorded.spec.model_copy(update={"settings": settings})
    declared, now = job.code(here), code_hashes(here, job)
    # A setting that names other code comes first: it explains why other modules are compared.
    yield from reproduction.declarations(recorded.spec.settings, settings)
    for module in sorted({*recorded.code_hashes, *now}, key=lambda name: _rank(name, declared)):
        was, found = (hashes.get(module, "") for hashes in (recorded.code_hashes, now))
        what = reproduction.role_of(module, job.code(recorded.spec) or declared)
        sides = {"recorded": reproduction.short(was) or "none", "found": reproduction.short(found) or "none"}
        differs = "" if was == found else f"{what} {_moved(module, was, recorded.code, present.name)}"
        yield Finding(what=what, **sides, differs=differs)


def _rank(module: str, declared: Mapping[str, str]) -> tuple[bool, bool, str]:
    """Sort the code that the product names before what that imports, and the provider's own last."""
    return module.startswith(f"{PROVIDER}."), reproduction.role_of(module, declared).startswith("module "), module


def _moved(module: str, was: str, recorded: Commit, product: str) -> str:
    """Return how a module differs: file, first changed line and function, and both commits."""
    here = code.commit_of(f"{product}.product")
    try:
        file = source_file(module)
    except ConfigurationError:
        return f"is gone from {_named(here, clean=True)}; recorded at {_named(recorded, clean=True)}"
    top = Path(here.repository) if here.repository else None
    if top is None or not file.is_relative_to(top):
        return f"(recorded {reproduction.short(was)}, here {reproduction.short(file_hash(file))})"
    path, text = file.relative_to(top).as_posix(), file.read_bytes()
    before = _before(path, recorded, here)
    first = first_change(*(side.decode(errors="replace") for side in (before, text))) if before else None
    old = _named(recorded, clean=before is None or hashlib.sha256(before).hexdigest() == was)
    new = _named(here, clean=checkout.file_at(str(top), here.commit or "", path) == text)
    place, said = (f", {first[0]}", f": {first[1]}") if first else ("", "")
    return f"({path}{place}) differs between {old} and {new}{said}"


def _before(path: str, recorded: Commit, here: Commit) -> bytes | None:
    """Return a file as of the recorded commit, from where it was recorded or, failing that, from here."""
    repositories = filter(None, (recorded.repository, here.repository))
    files = (checkout.file_at(repository, recorded.commit or "", path) for repository in repositories)
    return next((file for file in files if file is not None), None)


def _named(commit: Commit, *, clean: bool) -> str:
    named = f"commit {commit.commit[:12]}" if commit.commit else "code without a commit"
    return named if clean else f"{named} with uncommitted changes"
