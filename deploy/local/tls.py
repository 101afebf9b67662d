"""TLS of a local run: certificates of its own authority, and who trusts them."""

import os
import ssl
from collections.abc import Mapping
from pathlib import Path

from deploy.local.errors import FleetError
from deploy.local.layout import Layout, layout
from deploy.services import Service
from shared.certificates import Files

OPERATOR = "operator"


def have_certificates(at: Layout) -> None:
    """Have certificates for everything that runs here, where it is reached over TLS."""
    if at.tls:
        from deploy.certificates import make  # with `cryptography` it would cost every command a moment

        services = [f"{service.name}-svc" for service in at.services if not service.outside]
        make(at.secrets, [*services, OPERATOR])


def service_settings(at: Layout, service: Service) -> dict[str, str]:
    """Where a service finds its certificate, and whom it is to trust."""
    if not at.tls:
        return {}
    if service.outside:
        webhook = f"{at.gateway_url}/payments/pg/webhook"
        return {"SHOP_PG_WEBHOOK_URL": webhook, "SHOP_PG_WEBHOOK_CA_FILE": str(at.ca_file)}
    cert, key = (str(at.secrets / f"{service.name}-svc.{kind}") for kind in ("pem", "key"))
    found = {"SHOP_TLS_CERT_FILE": cert, "SHOP_TLS_KEY_FILE": key, "SHOP_TLS_CA_FILE": str(at.ca_file)}
    if service.public:
        found |= {"SHOP_PUBLIC_TLS_CERT_FILE": cert, "SHOP_PUBLIC_TLS_KEY_FILE": key}
    return found


def operator_files(environ: Mapping[str, str] | None = None) -> Files:
    """The certificate that tools of this run show to services."""
    at = layout(environ)
    cert, key = (str(at.secrets / f"{OPERATOR}.{kind}") for kind in ("pem", "key"))
    return Files(cert, key, str(at.ca_file))


def trusted(url: str, environ: Mapping[str, str] | None = None) -> ssl.SSLContext | bool:
    """Whom a client of ours trusts at this URL, as `httpx` takes it.

    SHOP_TLS_CA_FILE names an authority; else it is the one of this run, or those whom the system trusts.
    Raises FleetError for a file that holds none.
    """
    if not url.startswith("https:"):
        return False  # there is nothing to look at, and what the system trusts takes some ten milliseconds
    environ = os.environ if environ is None else environ
    named = environ.get("SHOP_TLS_CA_FILE")
    file = Path(named) if named else layout(environ).ca_file
    return context_for(file) if named or file.exists() else True


def context_for(file: Path) -> ssl.SSLContext:
    """What trusts the authorities in that file alone. Raises FleetError."""
    try:
        context = ssl.create_default_context(cafile=file)
    except (OSError, ssl.SSLError) as error:
        raise FleetError(f"{file} holds no certificate of an authority: {error}") from error
    context.minimum_version = ssl.TLSVersion.TLSv1_3
    return context
