"""Programs that are measured: started as processes of their own, ready when they say so, ended by us."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

READY = "ready"
"""What a program prints once it can be measured."""
READY_WITHIN_S = 60.0
ENDS_WITHIN_S = 10.0


class ProgramFailed(Exception):
    """A program died or never became ready; the message holds the end of what it said."""


@asynccontextmanager
async def running(
    arguments: Sequence[str], environ: Mapping[str, str], log: Path, *, python: str = sys.executable
) -> AsyncIterator[int]:
    """`python arguments` from its readiness on, until the block ends; gives its process id."""
    with log.open("ab") as said:
        process = await asyncio.create_subprocess_exec(
            python, *arguments, env={**os.environ, **environ}, stdout=asyncio.subprocess.PIPE, stderr=said
        )
        try:
            await _ready(process, " ".join(arguments), log)
            yield process.pid
        finally:
            if process.returncode is None:
                process.send_signal(signal.SIGTERM)
                try:
                    await asyncio.wait_for(process.wait(), ENDS_WITHIN_S)
                except TimeoutError:
                    process.kill()
                    await process.wait()


@asynccontextmanager
async def all_running(
    programs: Mapping[str, Sequence[str]], environ: Mapping[str, str], logs: Path
) -> AsyncIterator[dict[str, int]]:
    """Several programs at once, by name; gives their process ids."""
    async with AsyncExitStack() as stack:
        try:
            async with asyncio.TaskGroup() as group:
                starting = {
                    name: group.create_task(
                        stack.enter_async_context(running(arguments, environ, logs / f"{name}.log"))
                    )
                    for name, arguments in programs.items()
                }
        except ExceptionGroup as failures:
            raise failures.exceptions[0] from failures
        yield {name: started.result() for name, started in starting.items()}


async def output_of(
    arguments: Sequence[str], environ: Mapping[str, str], *, python: str = sys.executable
) -> bytes:
    """What `python arguments` prints. Raises `ProgramFailed` if it fails."""
    process = await asyncio.create_subprocess_exec(
        python,
        *arguments,
        env={**os.environ, **environ},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, errors = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
    if process.returncode:
        raise ProgramFailed(f"{' '.join(arguments)} failed:\n{errors.decode(errors='replace')[-2000:]}")
    return out


async def _ready(process: asyncio.subprocess.Process, name: str, log: Path) -> None:
    assert process.stdout is not None  # noqa: S101  it was opened as a pipe
    try:
        line = await asyncio.wait_for(process.stdout.readline(), READY_WITHIN_S)
    except TimeoutError:
        line = b""
    if line.strip().decode() != READY:
        raise ProgramFailed(f"{name} did not become ready:\n{_end_of(log)}")


def _end_of(log: Path) -> str:
    return log.read_text(encoding="utf-8", errors="replace")[-2000:]
