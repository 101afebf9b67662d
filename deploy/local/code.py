"""Whether the code has changed that says which queues and users there are."""

import hashlib

from deploy.local.layout import Layout
from deploy.services import ROOT


def fingerprint(at: Layout) -> str:
    """Changes with that code: the services' own, and the platform's."""
    digest = hashlib.sha256(" ".join(service.name for service in at.services).encode())
    folders = [ROOT / service.module for service in at.services if not service.outside]
    paths = [path for folder in folders for path in folder.rglob("*.py")]
    paths += [ROOT / "shared" / f"{name}.py" for name in ("declare", "permissions", "registry")]
    paths += (ROOT / "shared" / "broker").glob("*.py")
    for path in sorted(paths):
        digest.update(str(path.relative_to(ROOT)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()
