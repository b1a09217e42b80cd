"""The repository in which a product's code is kept, and to which an experiment's winner goes."""

from __future__ import annotations

import tempfile
from dataclasses import replace
from pathlib import Path
from typing import Any

from airflow_mlops_provider.backends.modules import source_file
from airflow_mlops_provider.backends.source.access import TOKEN_VARIABLE, USER_VARIABLE, Credentials, checked_remote
from airflow_mlops_provider.backends.source.checkout import own_repository
from airflow_mlops_provider.backends.source.git import GitRemote, known_branch
from airflow_mlops_provider.exceptions import BackendError, ConfigurationError, UnknownNameError
from airflow_mlops_provider.hooks.base import ServiceHook
from airflow_mlops_provider.lifecycle.records.spec import PLAIN, Repository, checked_forge
from airflow_mlops_provider.lifecycle.settings import checked_branch, checked_path


class SourceHook(ServiceHook):
    """A git remote, and the forge that it is on.

    ``remote`` is its address; ``forge`` says whose pull requests are opened there (``plain``: none, only a branch);
    ``base`` is the branch that production follows, ``path`` the product's folder, in which ``{product}`` means its
    name. The password is a token that may push and open pull requests; where the remote is reached by SSH, git uses
    the machine's own keys and the token serves the forge alone.

    Without a connection, the repository in which the product's own code lies is the remote: it gets a branch, its work
    tree stays as it is, and nothing leaves the machine, whatever its ``origin``.
    """

    default_conn_name = "mlops_source"
    conn_type = "mlops_source"
    hook_name = "MLOps source repository"
    login_variable, password_variable = USER_VARIABLE, TOKEN_VARIABLE

    def repository(self, product: str) -> Repository:
        """Return a product's repository. :raises ConfigurationError: if there is none, or the connection can't work."""
        path = self.extra.get("path", "").replace("{product}", product)
        if path:
            return Repository(**self.settings(), path=checked_path(path))
        kept = own_repository(source_file(f"{product}.product").parent)
        if kept is None:
            what = "fill in path, the product's folder there" if self.defined else "say where it is kept"
            raise ConfigurationError(
                f"the code of {product} lies in no git repository here; {what}, in the connection {self.conn_id!r} "
                f"(type {self.conn_type!r})"
            )
        return Repository(
            **self.settings() if self.defined else {"remote": kept[0].as_uri()}, path=checked_path(kept[1])
        )

    def settings(self) -> dict[str, Any]:
        """Return everything but the product's folder."""
        remote, forge, base = self.extra.get("remote"), self.extra.get("forge", PLAIN), self.extra.get("base")
        if not remote:
            raise self.error("has no remote; give its address")
        try:
            checked_forge(forge)
        except UnknownNameError as error:
            raise self.error(str(error)) from None
        if forge != PLAIN and not self.secrets().get(TOKEN_VARIABLE):
            raise self.error(f"{forge} wants a token; put it in the password")
        base = checked_branch(base) if base else None
        return {"remote": checked_remote(remote), "forge": forge, "base": base, "api": self.extra.get("api")}

    def remote(self, folder: Path) -> GitRemote:
        """Return the remote, spoken to from a scratch repository in an empty folder, which the caller removes."""
        return GitRemote(self.settings()["remote"], folder, Credentials.of(self.secrets()), seconds=20)

    def get_conn(self) -> GitRemote:
        """Return the remote; its scratch repository is removed with it."""
        scratch = tempfile.TemporaryDirectory(prefix="mlops-git-")
        return replace(self.remote(Path(scratch.name)), scratch=scratch)

    def probe(self) -> str:
        """List the remote's branches, and look for the base among them."""
        if not self.defined:
            return "no connection: each product's own repository gets the branch, and nothing leaves this machine"
        settings = self.settings()
        with tempfile.TemporaryDirectory(prefix="mlops-git-") as folder:
            default, branches = self.remote(Path(folder)).branches()
        base = settings["base"] or default
        if base is None:
            raise BackendError(f"{settings['remote']} answers, but has no branch yet; push one first")
        known_branch(base, branches)
        return f"{settings['remote']} answers; {base} is one of its {len(branches)} branch(es)"
