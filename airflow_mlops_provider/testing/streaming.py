"""What servers of streams have to keep, as tests."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from airflow_mlops_provider.backends.streams.base import Batch, Entry, Position, StreamServer
from airflow_mlops_provider.exceptions import SourceDataError, SourceError

Add = Callable[[Mapping[str, str]], None]


class StreamServerContract:
    """What a server of streams keeps. Override :meth:`server`, :meth:`add` and :meth:`give_up`."""

    begin = Position(since=datetime(2024, 1, 1, tzinfo=UTC))

    @pytest.fixture
    def server(self) -> StreamServer:
        """A server without streams."""
        raise NotImplementedError

    @pytest.fixture
    def add(self, server: StreamServer) -> Add:
        """Adds an entry with some fields to the stream ``orders``."""
        raise NotImplementedError

    @pytest.fixture
    def give_up(self, server: StreamServer) -> Callable[[int], None]:
        """Makes the server forget so many of the oldest entries of that stream."""
        raise NotImplementedError

    def behind(self, position: Position, batch: Batch) -> Position:
        """Return the position behind a batch that was read."""
        return replace(position, entry=batch.entries[-1].id, number=batch.before + len(batch.entries))

    def test_entries_come_once_in_their_order(self, server: StreamServer, add: Add) -> None:
        """So many at a time, counted, with their fields as they are, and ids and times that never go back."""
        given = [{"n": str(number), "text": f"\u00fc\n{number}"} for number in range(7)]
        for fields in given:
            add(fields)
        position, entries = self.begin, list[Entry]()
        while (batch := server.read("orders", position, 3)).entries:
            assert len(batch.entries) <= 3
            assert batch.before == len(entries)
            position, entries = self.behind(position, batch), [*entries, *batch.entries]
        fields_read = [{name.decode(): value.decode() for name, value in entry.fields.items()} for entry in entries]
        assert fields_read == given
        assert len({entry.id for entry in entries}) == 7
        assert [entry.at for entry in entries] == sorted(entry.at for entry in entries)
        assert entries[-1].at <= batch.now <= datetime.now(UTC) + timedelta(minutes=5)
        add(given[0])
        assert [entry.fields[b"n"] for entry in server.read("orders", position, 3).entries] == [b"0"]

    def test_what_came_before_is_not_wanted(self, server: StreamServer, add: Add) -> None:
        """It is counted all the same."""
        add({"n": "1"})
        later = Position(since=server.read("orders", self.begin, 1).now + timedelta(days=1))
        batch = server.read("orders", later, 3)
        assert (list(batch.entries), batch.before) == ([], 1)

    def test_a_loss_is_named(
        self,
        server: StreamServer,
        add: Add,
        give_up: Callable[[int], None],
    ) -> None:
        """What is gone unread is said each time, until the id that the message names is given; what was read may go."""
        for number in range(6):
            add({"n": str(number)})
        position = self.behind(self.begin, server.read("orders", self.begin, 2))
        give_up(2)
        assert server.read("orders", position, 1).before == 2
        give_up(1)
        for _ in range(2):
            with pytest.raises(SourceDataError, match="lost_through=") as lost:
                server.read("orders", position, 9)
        through = str(lost.value).partition("lost_through='")[2].partition("'")[0]
        batch = server.read("orders", position, 9, through)
        assert ([entry.fields[b"n"] for entry in batch.entries], batch.before) == ([b"3", b"4", b"5"], 3)

    def test_a_stream_that_is_not_there(self, server: StreamServer) -> None:
        """It is waited for."""
        with pytest.raises(SourceError, match="no_such_stream"):
            server.read("no_such_stream", self.begin, 1)

    def test_it_says_that_it_answers(self, server: StreamServer) -> None:
        """For the button that tries a connection."""
        assert server.probe()
