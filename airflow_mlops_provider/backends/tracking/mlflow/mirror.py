"""What MLflow's registry shows of a product's ledger, and the second place that knows how far the ledger goes."""

from __future__ import annotations

from airflow_mlops_provider.backends.tracking.mlflow.client import MlflowBackend
from airflow_mlops_provider.backends.tracking.mlflow.server import Allowing, mlflow_call
from airflow_mlops_provider.lifecycle.frozen import Frozen
from airflow_mlops_provider.lifecycle.release.registry import aliases
from airflow_mlops_provider.storage.ledger import Ledger

HEAD = "mlops.ledger_head"
DEPLOYING = "mlops.deploying"
WAIVING = "mlops.waiving"


class Shown(Frozen):
    """What the registry shows.

    :param head: the ledger's last entry and digest, as they were kept last; None if never.
    :param deploying: the version that a deployment began to bring into production last.
    :param waiving: the digest of the waiver that a person began to enter last.
    :param aliases: version by alias.
    """

    head: str | None = None
    deploying: int | None = None
    waiving: str | None = None
    aliases: dict[str, int] = {}


class Mirror(MlflowBackend):
    """A product's registered model in MLflow: its aliases follow the ledger, its tags keep the ledger's head.

    Whoever can write below the artifact root can't write here by that alone: an entry that the ledger has and MLflow
    doesn't know of is believed only if what it rests on is there.

    :param uri: MLflow's, as for :class:`~.mlflow.MlflowBackend`. Every call raises ``BackendError`` if it is down.
    """

    def __init__(self, uri: str, product: str) -> None:
        super().__init__(uri)
        self.product = product

    @mlflow_call
    def read(self) -> Shown:
        """Return what is shown; nothing if no version was registered yet."""
        with Allowing("RESOURCE_DOES_NOT_EXIST"):
            model = self.client.get_registered_model(self.product)
            head, deploying, waiving = (model.tags.get(tag) for tag in (HEAD, DEPLOYING, WAIVING))
            return Shown(head=head, deploying=deploying, waiving=waiving, aliases=model.aliases)
        return Shown()

    def announce(self, version: int) -> None:
        """Keep that a version is about to be brought into production."""
        self._tag(DEPLOYING, str(version))

    def announce_waiver(self, waiver: str) -> None:
        """Keep that a person is about to waive a gate, by the digest of what is to be entered."""
        self._tag(WAIVING, waiver)

    @mlflow_call
    def remove(self, version: int) -> None:
        """Take away a version that the ledger does not know."""
        self.client.delete_model_version(self.product, str(version))

    def follow(self, ledger: Ledger) -> list[str]:
        """Show what the ledger says now, and return what had to be changed for it, a line for each.

        It looks at the ledger after every change of its own: of two that follow at once the last one is right.
        """
        changed: list[str] = []
        while True:
            entries, head, shown = ledger.entries(), ledger.head(), self.read()
            before = len(changed)
            for alias, number in aliases(entries).items():
                if shown.aliases.get(alias) != number:
                    changed.append(f"alias {alias} of {self.product}: {shown.aliases.get(alias)} → {number}")
                    self.set_alias(self.product, alias, number)
            if head and shown.head != head:
                changed.append(f"head of the ledger of {self.product}: {shown.head} → {head}")
                self._tag(HEAD, head)
            if len(changed) == before or len(changed) > 20:
                return changed

    @mlflow_call
    def _tag(self, key: str, value: str) -> None:
        self.client.set_registered_model_tag(self.product, key, value)
