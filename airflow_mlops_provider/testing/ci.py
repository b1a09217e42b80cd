"""What a CI system has to keep, as tests."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from airflow_mlops_provider.backends.source.ci.base import CIRun, CISystem, State
from airflow_mlops_provider.exceptions import ConfigurationError

Ends = Callable[[bool], None]


class CISystemContract:
    """What a CI system keeps. Override :meth:`system`, :meth:`stranger` and :meth:`end`."""

    @pytest.fixture
    def system(self) -> CISystem:
        """The CI of a project that has no run yet."""
        raise NotImplementedError

    @pytest.fixture
    def stranger(self) -> CISystem:
        """The same, with a token ``no-such-secret``."""
        raise NotImplementedError

    @pytest.fixture
    def end(self) -> Ends:
        """Lets the newest run end: green, having pushed an image, or red."""
        raise NotImplementedError

    def obtain(self, system: CISystem, key: str = "mlops-1", reported: str | None = None) -> CIRun:
        """Return the run of a key."""
        return system.obtain(key, None, {}, reported)

    def test_a_run_is_begun_once(self, system: CISystem) -> None:
        """A key has one run, which is found from then on; another key has another."""
        first, second, other = (self.obtain(system, key) for key in ("mlops-1", "mlops-1", "mlops-2"))
        assert not first.ended
        assert (first.id, first.url) == (second.id, second.url)
        assert other.id != first.id
        assert first.url.startswith(("http://", "https://"))
        assert system.find("mlops-3") is None

    def test_a_green_run_says_what_it_made(self, system: CISystem, end: Ends) -> None:
        """Commit, and image by its digest; it is the key's run from then on."""
        begun = self.obtain(system)
        end(True)
        run = system.look(begun.id, "mlops-1")
        assert run.state is State.GREEN
        assert run.commit
        assert "@sha256:" in (system.image(run) or "")
        assert self.obtain(system).id == run.id

    def test_a_red_run_is_replaced_once_it_is_known(self, system: CISystem, end: Ends) -> None:
        """It names what failed, and made no image; who has not reported it yet finds it again."""
        begun = self.obtain(system)
        end(False)
        run = system.look(begun.id, "mlops-1")
        assert run.state is State.RED
        assert system.failure(run).strip()
        assert system.image(run) is None
        assert self.obtain(system).id == run.id
        assert self.obtain(system, reported=run.id).id != run.id

    def test_a_stopped_run_is_replaced(self, system: CISystem) -> None:
        """It is stopped once, and nothing is wrong with stopping it again."""
        begun = self.obtain(system)
        for _ in range(2):
            system.stop(system.look(begun.id, "mlops-1"))
        assert system.look(begun.id, "mlops-1").state is State.CANCELLED
        again = self.obtain(system)
        assert again.id != begun.id
        assert not again.ended

    def test_a_refusal_shows_no_token(self, stranger: CISystem) -> None:
        """No retry helps, and the token is in no message."""
        with pytest.raises(ConfigurationError) as refused:
            self.obtain(stranger)
        assert "no-such-secret" not in str(refused.value)
        with pytest.raises(ConfigurationError):
            stranger.probe()

    def test_its_project_is_there(self, system: CISystem) -> None:
        """The connection's test says so."""
        assert system.probe().strip()
