"""The file that fixes how a product trains: a part of its declaration, kept beside it, changed by merging another."""

from __future__ import annotations

import hashlib
import json
import re
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import Any

from pydantic import ValidationError

from airflow_mlops_provider.exceptions import ConfigurationError
from airflow_mlops_provider.lifecycle.frozen import Frozen, digest, unique
from airflow_mlops_provider.lifecycle.trainer import Trainer

FILE = "settings.json"
_BRANCH = re.compile(r"[A-Za-z0-9_][A-Za-z0-9._+@=-]*(/[A-Za-z0-9_][A-Za-z0-9._+@=-]*)*")


class Provenance(Frozen):
    """Where some settings come from. It decides nothing: another origin of the same settings trains nothing anew.

    :param study, trial: the search, and the trial in it, that found them, and what they reached there.
    :param by: the Airflow run, or the person, that wrote the file.
    """

    study: str
    trial: int
    metric: str
    value: float
    when: datetime
    by: str


class TrainerSettings(Trainer):
    """A product's trainer as a file: the declaration's fields, and where they come from.

    A product declares ``trainer=TrainerSettings.read(Path(__file__).with_name("settings.json")).trainer()``.
    """

    provenance: Provenance | None = None

    @classmethod
    def read(cls, file: Path) -> TrainerSettings:
        """Return what a file holds. :raises ConfigurationError: naming file, field and what is wrong with it."""
        try:
            text = file.read_text("utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{file} cannot be read: {error}") from None
        return cls.parse(text, str(file))

    @classmethod
    def parse(cls, text: str, name: str = FILE) -> TrainerSettings:
        """Return what a file's text says; messages call the file ``name``. :raises ConfigurationError: as above."""
        try:
            return cls.model_validate(json.loads(text, object_pairs_hook=_once))
        except ValidationError as error:
            lines = [f"{'.'.join(map(str, line['loc'])) or 'the file'}: {line['msg']}" for line in error.errors()]
            raise ConfigurationError(f"{name}: {'; '.join(lines)[:1000]}") from None
        except ValueError as error:
            raise ConfigurationError(f"{name} is no valid JSON: {error}") from None

    def trainer(self) -> Trainer:
        """Return the declaration that this makes: everything but where it comes from."""
        return Trainer(**{name: getattr(self, name) for name in Trainer.model_fields})

    def text(self) -> str:
        """Return the file's text: the same for the same values, a line a field, so that a review shows what changed."""
        return json.dumps(self.to_json(), indent=2, sort_keys=True, ensure_ascii=False, allow_nan=False) + "\n"

    @property
    def fingerprint(self) -> str:
        """Tells an export from any other: the same for the same trainer, from the same trial."""
        origin = [self.provenance.study, self.provenance.trial] if self.provenance else []
        return digest([self.trainer().to_json(), origin])[:16]


def changes(old: Trainer | None, new: Trainer) -> list[tuple[str, Any, Any]]:
    """Return name, old and new value of each field and setting that differs; None where one side has none."""
    before, after = (_flat(old) if old else {}), _flat(new)
    values = ((name, before.get(name), after.get(name)) for name in sorted(before.keys() | after.keys()))
    return [(name, was, now) for name, was, now in values if was != now]


def branch_of(product: str, study: str) -> str:
    """Return the branch on which a study's winner is committed: the same for the same study, valid in any git."""
    plain = re.sub(r"\.+", ".", re.sub(r"[^A-Za-z0-9._-]+", "-", study)).strip("-.")[:80].strip("-.")
    # A name that had to be changed ends in a digest of itself, so that no two studies share a branch.
    if not plain or plain != study or plain.endswith(".lock"):
        plain = f"{plain.removesuffix('.lock') or 'study'}-{hashlib.sha256(study.encode()).hexdigest()[:8]}"
    return checked_branch(f"mlops/{product}/{plain}")


def checked_branch(name: str) -> str:
    """Return a branch's name. :raises ConfigurationError: if it is none, or has other than plain characters."""
    parts = name.split("/")
    if not _BRANCH.fullmatch(name) or ".." in name or any(part.endswith((".lock", ".")) for part in parts):
        raise ConfigurationError(
            f"{name[:200]!r} is no branch name to work with; use letters, digits and . _ - + @ = between slashes"
        )
    return name


def checked_path(path: str) -> str:
    """Return a folder's path inside a repository, without slashes around it; the repository's own top is empty.

    :raises ConfigurationError: if it would leave the repository or enter git's own folder.
    """
    parts = PurePosixPath(path.strip("/")).parts
    plain = path.isprintable() and not {":", "\\"} & {*path}
    if not plain or any(part.lower() in ("..", ".git") for part in parts):
        raise ConfigurationError(f"{path[:200]!r} is no folder inside a repository")
    return "/".join(part for part in parts if part != ".")


def _flat(trainer: Trainer) -> dict[str, Any]:
    fields = trainer.to_json()
    settings = fields.pop("settings")
    return {**fields, **{f"settings.{name}": value for name, value in settings.items()}}


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    unique("given", [name for name, _ in pairs])
    return dict(pairs)
