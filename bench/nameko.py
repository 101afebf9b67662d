"""nameko's own environment: its libraries are too old to stand beside ours, so they get a `.venv` apart."""

import asyncio
import hashlib
import shutil
import sys

from bench.program import ProgramFailed
from deploy.bootstrap import TOOLS, uv_environment
from deploy.services import ROOT

SCRIPT = ROOT / "bench" / "echo" / "nameko_rpc.py"
LOCK = ROOT / "bench" / "echo" / "nameko.txt"
HOME = TOOLS / "nameko"


async def python() -> str:
    """The Python of that environment, made at the first call. Raises `ProgramFailed` if it cannot be had."""
    own = HOME / "bin" / "python"
    stamp = HOME / "stamp"
    state = hashlib.sha256(LOCK.read_bytes()).hexdigest()
    if not (own.exists() and stamp.exists() and stamp.read_text(encoding="utf-8") == state):
        shutil.rmtree(HOME, ignore_errors=True)
        uv = str(TOOLS / "own" / "bin" / "uv")
        await _run(uv, "venv", "--quiet", "--python", sys.executable, str(HOME))
        install = ("pip", "install", "--quiet", "--python", str(own), "--require-hashes", "-r", str(LOCK))
        await _run(uv, *install)
        await _run(str(own), "-W", "ignore", "-c", "import nameko.standalone.rpc")
        stamp.write_text(state, encoding="utf-8")
    return str(own)


async def _run(*command: str) -> None:
    try:
        process = await asyncio.create_subprocess_exec(
            *command, env=uv_environment(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT
        )
    except FileNotFoundError as error:
        raise ProgramFailed(f"there is no {command[0]}: start the benchmark with ./just bench") from error
    said, _ = await process.communicate()
    if process.returncode:
        raise ProgramFailed(said.decode(errors="replace") or f"{command[0]} failed")
