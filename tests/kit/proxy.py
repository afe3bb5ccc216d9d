"""A TCP proxy with faults on demand, to stand in front of Redis, PostgreSQL or an emulator."""

import asyncio
import socket
import struct
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

from tests.kit.processes import free_port

CHUNK = 65536


@dataclass
class _Drop:
    """Swallow replies: `left` more of them, chosen by what they hold or by what was asked before."""

    left: int
    holding: bytes
    asked: bytes
    silently: bool


@dataclass(eq=False)
class _Connection:
    """One client and its connection to the target."""

    client: asyncio.StreamWriter
    target: asyncio.StreamWriter
    asked: bytes = b""  # the requests since the last reply
    swallowed: bool = False
    replied: int = 0

    def end(self, *, reset: bool) -> None:
        for writer in (self.client, self.target):
            _end(writer, reset=reset)


@dataclass
class _Faults:
    drops: list[_Drop] = field(default_factory=list)
    cut_after: int | None = None
    delay: float = 0.0
    blackhole: bool = False
    refuse: bool = False


class Proxy:
    """Passes bytes between `port` and the target until it is told to misbehave; `heal` ends every fault.

    A reply here is what arrives from the target in one piece: right for servers that answer a small
    request with a small packet, not for long streams.
    """

    def __init__(self, target_port: int, target_host: str = "127.0.0.1") -> None:
        self.target = (target_host, target_port)
        self.host = "127.0.0.1"
        self.port = free_port()
        self.accepted = 0
        self.dropped = 0
        self.cut = 0
        self._faults = _Faults()
        self._connections: set[_Connection] = set()
        self._held: set[asyncio.StreamWriter] = set()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"proxy-{self.port}", daemon=True)
        self._thread.start()
        self._server = asyncio.run_coroutine_threadsafe(
            asyncio.start_server(self._serve, self.host, self.port), self._loop
        ).result(10)

    @property
    def open(self) -> int:
        """How many connections pass through right now."""
        return len(self._connections)

    def drop_replies(self, count: int = 1, *, holding: bytes = b"", asked: bytes = b"", silently: bool = False) -> None:
        """Swallows the next replies and cuts their connections (`silently`: leaves them open, for ever waiting).

        `holding`: only replies with these bytes in them. `asked`: only replies to a request with these bytes.
        """
        self._do(lambda: self._faults.drops.append(_Drop(count, holding, asked, silently)))

    def cut_after(self, count: int) -> None:
        """Cuts the next connection whose reply bytes, counted from now, reach that number; then no more."""

        def begin() -> None:
            self._faults.cut_after = count
            for connection in self._connections:
                connection.replied = 0

        self._do(begin)

    def delay(self, seconds: float) -> None:
        """Holds every reply back for so long."""
        self._do(lambda: setattr(self._faults, "delay", seconds))

    def blackhole(self) -> None:
        """Accepts everything, passes on nothing and says nothing; open connections fall silent too."""
        self._do(lambda: setattr(self._faults, "blackhole", True))

    def refuse(self) -> None:
        """Answers every new connection with RST, and resets the open ones."""
        self._do(lambda: setattr(self._faults, "refuse", True))
        self.reset()

    def reset(self) -> None:
        """Resets (RST) the connections that are open now."""
        self._do(lambda: self._end_all(reset=True))

    def disconnect(self) -> None:
        """Closes (FIN) the connections that are open now."""
        self._do(lambda: self._end_all(reset=False))

    def heal(self) -> None:
        """Ends all faults. Connections that lost bytes in the black hole are reset, as they cannot go on."""

        def end() -> None:
            self._faults = _Faults()
            for connection in list(self._connections):
                if connection.swallowed:
                    connection.end(reset=True)
            for writer in list(self._held):
                _end(writer, reset=True)

        self._do(end)

    def close(self) -> None:
        """Ends everything."""
        asyncio.run_coroutine_threadsafe(self._shut_down(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    def _do(self, action: Callable[[], object]) -> None:
        async def act() -> None:
            action()

        asyncio.run_coroutine_threadsafe(act(), self._loop).result(10)

    def _end_all(self, *, reset: bool) -> None:
        for connection in list(self._connections):
            connection.end(reset=reset)

    async def _shut_down(self) -> None:
        self._server.close()
        self._end_all(reset=True)
        for writer in list(self._held):
            _end(writer, reset=True)
        tasks = asyncio.all_tasks() - {asyncio.current_task()}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.accepted += 1
        with suppress(OSError, asyncio.CancelledError):
            if self._faults.refuse:
                _end(writer, reset=True)
            elif self._faults.blackhole:
                await self._hold(reader, writer)
            else:
                await self._pass_on(reader, writer)

    async def _hold(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """A connection that came while nothing passes: swallowed, never answered."""
        self._held.add(writer)
        try:
            while await reader.read(CHUNK):
                pass
        finally:
            self._held.discard(writer)
            _end(writer, reset=False)

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            target_reader, target_writer = await asyncio.open_connection(*self.target)
        except OSError:
            _end(writer, reset=True)
            return
        connection = _Connection(client=writer, target=target_writer)
        self._connections.add(connection)
        try:
            pumps = [
                asyncio.ensure_future(self._requests(reader, connection)),
                asyncio.ensure_future(self._replies(target_reader, connection)),
            ]
            await asyncio.wait(pumps, return_when=asyncio.ALL_COMPLETED)
        finally:
            self._connections.discard(connection)
            connection.end(reset=False)

    async def _requests(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                if self._faults.blackhole:
                    connection.swallowed = True
                    continue
                connection.asked += data
                connection.target.write(data)
                await connection.target.drain()
        self._pass_end(connection, connection.target)

    async def _replies(self, reader: asyncio.StreamReader, connection: _Connection) -> None:
        with suppress(OSError):
            while data := await reader.read(CHUNK):
                await self._reply(data, connection)
        self._pass_end(connection, connection.client)

    def _pass_end(self, connection: _Connection, writer: asyncio.StreamWriter) -> None:
        """One side has hung up; in the black hole the other does not learn of it."""
        if self._faults.blackhole:
            connection.swallowed = True
        else:
            _end(writer, reset=False)

    async def _reply(self, data: bytes, connection: _Connection) -> None:
        if self._faults.delay:
            await asyncio.sleep(self._faults.delay)
        asked, connection.asked = connection.asked, b""
        if self._faults.blackhole:
            connection.swallowed = True
        elif drop := self._matching_drop(data, asked):
            self.dropped += 1
            if drop.silently:
                connection.swallowed = True
            else:
                connection.end(reset=False)
        else:
            await self._send(data, connection)

    def _matching_drop(self, data: bytes, asked: bytes) -> _Drop | None:
        for drop in self._faults.drops:
            if drop.left > 0 and drop.holding in data and drop.asked in asked:
                drop.left -= 1
                return drop
        return None

    async def _send(self, data: bytes, connection: _Connection) -> None:
        limit = self._faults.cut_after
        connection.replied += len(data)
        if limit is None or connection.replied < limit:
            connection.client.write(data)
            await connection.client.drain()
            return
        self._faults.cut_after = None
        self.cut += 1
        connection.client.write(data[: len(data) - (connection.replied - limit)])
        connection.end(reset=False)


def _end(writer: asyncio.StreamWriter, *, reset: bool) -> None:
    """Closes one side: FIN after what is still to be sent, or RST at once."""
    if not reset:
        writer.close()
        return
    with suppress(OSError):
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()
