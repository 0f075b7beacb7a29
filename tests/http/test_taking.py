"""How an answer is taken: whoever does not take it keeps nothing, whoever is slow has all of it."""

import asyncio
import socket
from collections.abc import AsyncIterator
from typing import Any

import pytest
import uvloop
from listening import READ_MAX, SHORT_S, WITHIN_S, Listening, listening
from litestar import get
from litestar.response import Stream

from tron_payment.http import transport
from tron_payment.http.transport import TAKEN_BYTES_MIN, untaken_bytes

LARGE_BYTES = 32 * 1024 * 1024
NEVER_S = 3_600.0
READ_BYTES = 16 * 1024
CLOSED = b"Connection: close\r\n"


@get("/large", opt={"open": True, "produces": ("*/*",)}, media_type="text/plain")
async def large() -> bytes:
    """More than the kernel keeps for a client."""
    return b"x" * LARGE_BYTES


@get("/broken", opt={"open": True, "produces": ("*/*",)}, media_type="text/plain")
async def broken() -> Stream:
    """As much, and then not the rest."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"x" * LARGE_BYTES
        raise ValueError("there is no more")

    return Stream(parts())


async def asked(listen: Listening, path: str, headers: bytes = b"") -> tuple[socket.socket, Any]:
    """A client that reads nothing by itself, and its connection, where the answer waits."""
    client = socket.socket()
    client.setblocking(False)
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(WITHIN_S):
        await loop.sock_connect(client, ("127.0.0.1", listen.port))
        while not listen.server.server_state.connections:
            await asyncio.sleep(0.01)
        connection = listen.connection()
        connection.transport.set_write_buffer_limits(high=LARGE_BYTES * 2)
        await loop.sock_sendall(
            client, f"GET {path} HTTP/1.1\r\nHost: x\r\n".encode() + headers + b"\r\n"
        )
        while connection.transport.get_write_buffer_size() < LARGE_BYTES // 2:
            await asyncio.sleep(0.01)
    return client, connection


async def none_left(listen: Listening) -> None:
    async with asyncio.timeout(WITHIN_S):
        while listen.app.front._open or listen.server.server_state.connections:
            await asyncio.sleep(0.01)


async def test_an_answer_that_nobody_takes_holds_no_request(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "TAKE_S", SHORT_S)
    async with listening(large) as listen:
        _, writer = await listen.connect()  # its reader takes a little and then waits for us
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\n\r\n" * 2)
        async with asyncio.timeout(WITHIN_S):
            while not listen.app.front._open:
                await asyncio.sleep(0.01)
        await none_left(listen)
        writer.close()


@pytest.mark.parametrize(
    ("path", "headers"),
    [("/large", CLOSED), ("/large", b""), ("/broken", b"")],
    ids=["closed", "kept", "broken off"],
)
async def test_the_last_of_an_answer_holds_no_connection(
    monkeypatch: pytest.MonkeyPatch, path: str, headers: bytes
) -> None:
    """It is less than makes anybody wait: whoever closes would wait for it without an end."""
    monkeypatch.setattr(transport, "TAKE_S", SHORT_S)
    async with listening(large, broken) as listen:
        listen.server.config.timeout_keep_alive = 1
        client, connection = await asked(listen, path, headers)
        assert not connection.flow.write_paused
        await none_left(listen)
        client.close()


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_who_ends_their_side_and_takes_nothing_holds_no_connection(
    monkeypatch: pytest.MonkeyPatch, run: Any
) -> None:
    """Then the loop closes the connection by itself, with either loop that serves it."""
    monkeypatch.setattr(transport, "TAKE_S", SHORT_S)

    async def half_closed() -> None:
        async with listening(large) as listen:
            client, connection = await asked(listen, "/large")
            assert not connection.flow.write_paused and connection._taking is None
            client.shutdown(socket.SHUT_WR)
            await none_left(listen)
            client.close()

    run(half_closed())


@pytest.mark.parametrize("run", [asyncio.run, uvloop.run], ids=["asyncio", "uvloop"])
def test_who_ends_their_side_has_the_whole_of_what_was_said(run: Any) -> None:
    async def half_closed() -> None:
        async with listening(large) as listen:
            client, _ = await asked(listen, "/large")
            client.shutdown(socket.SHUT_WR)
            taken = 0
            async with asyncio.timeout(WITHIN_S):
                while part := await asyncio.get_running_loop().sock_recv(client, READ_MAX):
                    taken += len(part)
            assert taken > LARGE_BYTES
            await none_left(listen)
            client.close()

    run(half_closed())


async def test_what_is_left_when_somebody_stops_to_take_holds_no_connection(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Who took enough that nobody waits any more, and then nothing."""
    monkeypatch.setattr(transport, "TAKE_S", NEVER_S)
    async with listening(large) as listen:
        client, connection = await asked(listen, "/large", CLOSED)
        connection.pause_writing()
        monkeypatch.setattr(transport, "TAKE_S", SHORT_S)
        connection.resume_writing()
        await none_left(listen)
        client.close()


async def test_a_slow_reader_is_seen_to_read_before_the_kernel_takes_more(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """For minutes it takes nothing from us, as long as two thirds of what it keeps are there."""
    monkeypatch.setattr(transport, "TAKE_S", NEVER_S)
    loop = asyncio.get_running_loop()
    async with listening(large) as listen:
        listen.server.config.timeout_keep_alive = int(NEVER_S)
        client, connection = await asked(listen, "/large")
        connection.pause_writing()
        before, taken = untaken_bytes(connection.transport), 0
        assert before > connection.transport.get_write_buffer_size(), "the kernel keeps some of it"
        async with asyncio.timeout(WITHIN_S):
            while before - untaken_bytes(connection.transport) < TAKEN_BYTES_MIN:
                taken += len(await loop.sock_recv(client, READ_BYTES))
                await asyncio.sleep(0)
        connection._taking._run()  # its time is over
        assert not connection.transport.is_closing(), "it reads"
        connection._taking._run()
        await none_left(listen)
        assert 0 < taken < LARGE_BYTES // 2, "it stopped reading then, and was given up"
        client.close()


async def test_an_answer_that_is_taken_slowly_comes_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "TAKE_S", SHORT_S * 5)
    taken, slept = 0, 0.0
    async with listening(large) as listen:
        reader, writer = await listen.connect()
        writer.write(b"GET /large HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        async with asyncio.timeout(WITHIN_S * 3):
            while part := await reader.read(READ_MAX):
                taken += len(part)
                if slept < SHORT_S * 10:
                    slept += SHORT_S / 20
                    await asyncio.sleep(SHORT_S / 20)
        writer.close()
    assert taken > LARGE_BYTES
