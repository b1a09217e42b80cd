"""A folder to make things again in, and in it the recorded code: each state of it with a process of its own."""

from __future__ import annotations

import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from airflow_mlops_provider.backends.source.checkout import clone_at
from airflow_mlops_provider.cli.reproduction.rebuild_process import RebuildProcess
from airflow_mlops_provider.exceptions import ConfigurationError, MissingRecordError
from airflow_mlops_provider.lifecycle.records.manifest import Manifest
from airflow_mlops_provider.runtime.reproduction.recorded_code import (
    Code,
    code_here,
    code_in,
    not_here,
    repository_here,
)


class Workbench:
    """Runs each recorded job again with the code that it ran then.

    :param folder: empty; takes code, temporary files and the jobs' log.
    :param repository: path or URL of the repository that holds the recorded commits; None for those on record.
    :param secrets: environment variables with credentials.
    :param after: ends the processes.
    """

    def __init__(self, folder: Path, repository: str | None, secrets: Mapping[str, str], after: ExitStack) -> None:
        self.folder, self._after = folder, after
        self._repository = repository
        self._secrets = secrets
        self._trees: dict[str, Path | None] = {}
        self._refused: list[str] = []
        self._processes: dict[Code, RebuildProcess] = {}

    def process(self, manifest: Manifest, commits: Sequence[str]) -> RebuildProcess:
        """Return the process that has a recorded job's code. See :meth:`code`."""
        code = self.code(manifest, commits)
        if code not in self._processes:
            self._processes[code] = RebuildProcess(code, self.folder, self._secrets)
            self._after.callback(self._processes[code].close)
        return self._processes[code]

    def code(self, manifest: Manifest, commits: Sequence[str]) -> Code:
        """Return where a recorded job's code is: at a commit, or here if it is the same.

        :param commits: where else to look than at the job's own commit; what one commit made may be what another has.
        :raises MissingRecordError: if that code is nowhere.
        """
        own = manifest.code.commit
        for commit in dict.fromkeys(filter(None, (*commits, own))):
            if commit not in self._trees:
                self._trees[commit] = self._clone(commit, manifest)
            tree = self._trees[commit]
            code = code_in(tree, manifest) if tree else None
            if code:
                return code
        here = code_here(manifest)
        if here:
            return here
        job, product = manifest.spec.job, manifest.spec.product
        if own is None and not self._refused:
            raise MissingRecordError(
                f"no commit is on record of the code that {job} ran: {product} was in no git repository then. Code "
                f"with the hashes on record would do, but {not_here(manifest)}. Put the files back as they were; the "
                "code of a product that is kept in git is taken from its commit"
            )
        where = "; ".join(self._refused) or f"commit {str(own)[:12]} has other code"
        raise MissingRecordError(
            f"the code that {job} ran is not to be had: {where}, and {not_here(manifest)}. Name a repository that "
            "holds it with --repository; what ran uncommitted and was changed since is lost"
        )

    def _clone(self, commit: str, manifest: Manifest) -> Path | None:
        recorded = (manifest.code.repository, repository_here(manifest.spec.product))
        for number, repository in enumerate(dict.fromkeys([self._repository] if self._repository else recorded)):
            try:
                if repository:
                    return clone_at(repository, commit, self.folder / f"code-{commit[:12]}-{number}")
            except ConfigurationError as error:
                self._refused.append(str(error))
        return None


@contextmanager
def workbench(
    below: Path | None, repository: str | None, secrets: Mapping[str, str], keep: bool
) -> Iterator[Workbench]:
    """Give a bench in a new folder; at the end its processes are gone and, unless it is kept, the folder is, too.

    So it is after an interrupt, and when this process gets SIGTERM.

    :param below: where to make the folder; None for the system's temporary one.
    """
    folder = Path(tempfile.mkdtemp(prefix="mlops-reproduce-", dir=below)).resolve()
    with ExitStack() as after:
        if not keep:
            after.callback(shutil.rmtree, folder, ignore_errors=True)
        before = signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
        after.callback(signal.signal, signal.SIGTERM, before)
        yield Workbench(folder, repository, secrets, after)
