"""The shell blocks of the documents, run in their order as they stand, against the suite's shop."""

import asyncio
import os
import re
import shlex
import sys
from pathlib import Path

import pytest

from deploy.local.layout import Layout
from deploy.services import ROOT
from tests.docs.documents import blocks
from tests.support.at_work import forget

# A minute and more of commands as people type them.
pytestmark = pytest.mark.long

# What fails ends the script and shows the command; a stream that curl leaves after -m seconds did not fail.
PRELUDE = r"""
set -o pipefail
curl() { command curl --fail-with-body "$@"; }
trap 'code=$?; [ $code = 28 ] || { echo "exit $code: $BASH_COMMAND" >&2; exit $code; }' ERR
"""
AWAITED_REFUSAL = re.compile(r"^(curl .*?)\s*# (4\d\d)\b.*$", re.MULTILINE)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The project's folder as a person has it, in which commands may leave files."""
    for entry in ROOT.iterdir():
        if entry.name not in ("just", ".venv"):
            (tmp_path / entry.name).symlink_to(entry)
    (tmp_path / ".venv").symlink_to(sys.prefix)
    just = tmp_path / "just"
    just.write_text(f'#!/bin/sh\nexec {shlex.quote(str(ROOT / "just"))} "$@"\n', encoding="utf-8")
    just.chmod(0o755)
    return tmp_path


def script_of(document: str, shop: Layout) -> str:
    """The shell blocks of a document, with the ports of this shop in place of the usual ones."""
    text = "\n".join(block.text for block in blocks(ROOT / "docs" / document) if block.language == "sh")
    text = re.sub(r"127\.0\.0\.1:80(\d\d)\b", lambda port: f"127.0.0.1:{shop.base + int(port[1])}", text)
    text = re.sub(
        r"\bSHOP_SERVICE_PORT=80(\d\d)\b", lambda p: f"SHOP_SERVICE_PORT={shop.base + int(p[1])}", text
    )
    return PRELUDE + AWAITED_REFUSAL.sub(r"\1 && false || [ $? = 22 ]", text)


@pytest.mark.usefixtures("own_broker", "own_database")
@pytest.mark.parametrize("document", ["buying.md", "read-side.md", "dead-letters.md", "platform.md"])
async def test_the_commands_of_a_document_run_as_they_stand(
    document: str, shop: Layout, folder: Path
) -> None:
    process = await asyncio.create_subprocess_exec(
        "bash",
        "-c",
        script_of(document, shop),
        cwd=folder,
        env={**os.environ, "SHOP_PORT_BASE": str(shop.base), "SHOP_RUN_DIR": str(shop.run_dir)},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await process.communicate()
    assert process.returncode == 0, said.decode()
    if document == "buying.md":
        assert '"REFUNDED"' in said.decode()
    if document == "platform.md":
        assert '{"text":"Hello' in said.decode()
        assert "must have 1 to 100 characters" in said.decode()
        await forget("greet.user.registered", shop.amqp_url)
