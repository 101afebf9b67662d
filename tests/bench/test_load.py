"""The clients, against a server that answers as it is told; and programs that do not start."""

import asyncio
import time
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from bench.load import LOST, Plan, load, request
from bench.program import ProgramFailed, all_running, running

ANSWERS = {"/ok": (201, b'{"status":"COMPLETED"}'), "/no": (500, b"broken"), "/list": (200, b"[]")}


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """Answers `/ok` with an order, `/no` with a 500, `/list` with an array, and hangs up at anything else."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while line := await reader.readline():
            while await reader.readline() != b"\r\n":
                pass
            path = line.split()[1].decode()
            if path not in ANSWERS:
                break
            status, body = ANSWERS[path]
            writer.write(b"HTTP/1.1 %d x\r\ncontent-length: %d\r\n\r\n%b" % (status, len(body), body))
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1]


async def test_every_request_is_counted_by_how_it_ended(port: int) -> None:
    requests = [request("GET", path) for path in ("/ok", "/no", "/list")]
    found = await load(Plan(port, requests, 9, clients=2))
    assert found.ends == {"COMPLETED": 3, "HTTP 500 broken": 3, "HTTP 200": 3}
    assert len(found.times) == 9
    assert found.ms(0.5) > 0
    assert len(found.ended("HTTP")) == 6
    assert found.ended("COMPLETED") == found.by_end["COMPLETED"]


async def test_a_server_that_hangs_up_is_told_and_not_waited_for(port: int) -> None:
    found = await load(Plan(port, [request("GET", "/gone")], 10, clients=2))
    assert found.ends == {LOST: 2}


async def test_at_a_rate_requests_leave_at_their_time(port: int) -> None:
    found = await load(Plan(port, [request("GET", "/ok")], 10, clients=4, per_second=20.0))
    assert found.ends == {"COMPLETED": 10}
    assert found.seconds > 8 / 20  # the last of them leaves after nine pauses, give or take a clock's tick


async def test_a_program_that_dies_at_start_is_told_with_its_last_words(tmp_path: Path) -> None:
    log = tmp_path / "log"
    with pytest.raises(ProgramFailed, match="no such luck"):
        async with running(["-c", "raise SystemExit('no such luck')"], {}, log):
            pass


async def test_if_one_program_dies_the_others_are_ended(tmp_path: Path) -> None:
    # A program that would stay for long; this test does not wait for it.
    wait = "import time; print('ready', flush=True); time.sleep(100)"
    programs = {"good": ("-c", wait), "bad": ("-c", "raise SystemExit('no such luck')")}
    began = time.monotonic()
    with pytest.raises(ProgramFailed, match="no such luck"):
        async with all_running(programs, {}, tmp_path):
            pass
    assert time.monotonic() - began < 60
