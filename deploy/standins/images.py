"""Which images have a stand-in, what each is made of, and what Docker is told about it."""

from dataclasses import dataclass, field

_BASICS = (
    "base-files",
    "bash",
    "coreutils",
    "dash",
    "findutils",
    "gawk",
    "grep",
    "hostname",
    "libc-bin",
    "passwd",
    "procps",
    "sed",
    "util-linux",
)
"""What a shell script takes for granted."""

AUTHORITIES = "etc/ssl/certs/ca-certificates.crt"
"""The certificates that this machine trusts: a stand-in fetches from where this machine does."""


@dataclass(frozen=True, slots=True)
class Image:
    """An image, by the name that the Dockerfile or compose.yaml gives it."""

    name: str
    suite: str
    packages: tuple[str, ...]
    entrypoint: str | None = None
    """The script beside this module that the container starts with."""
    command: tuple[str, ...] = ()
    user: str | None = None
    """A system user of the server, number 999, who owns the folder `data`."""
    data: str | None = None
    runs_as: str | None = None
    """Whom the container starts as; left out: root, as the scripts want it, who then become somebody else."""
    links: dict[str, str] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)
    environment: dict[str, str] = field(default_factory=dict)
    without: tuple[str, ...] = ()
    """Patterns of what to delete."""


IMAGES = (
    Image(
        name="python:3.13-slim",
        suite="trixie",
        packages=(*_BASICS, "python3", "python3-pip"),
        command=("python3",),
        links={"usr/local/bin/python3": "/usr/bin/python3", "usr/local/bin/python": "/usr/bin/python3"},
        environment={"PIP_CERT": f"/{AUTHORITIES}", "SSL_CERT_FILE": f"/{AUTHORITIES}"},
        # Debian forbids pip to install beside its own packages: in the image that is what pip is for.
        without=("usr/lib/python3*/EXTERNALLY-MANAGED", "usr/share/doc/*", "usr/share/man/*"),
    ),
    Image(
        name="mysql:8.4",  # MySQL 9: no suite has 8.4 any more
        suite="sid",
        packages=(*_BASICS, "mysql-server-core", "mysql-client-core"),
        entrypoint="mysql.sh",
        command=("mysqld",),
        user="mysql",
        data="var/lib/mysql",
    ),
    Image(
        name="prom/prometheus:v2.53.5",
        suite="trixie",
        packages=(*_BASICS, "prometheus"),
        command=(
            "prometheus",
            "--config.file=/etc/prometheus/prometheus.yml",
            "--storage.tsdb.path=/prometheus",
        ),
        user="prometheus",
        data="prometheus",
        runs_as="999:999",
    ),
    Image(
        name="haproxy:3.0",
        suite="trixie",
        packages=(*_BASICS, "haproxy"),
        command=("haproxy", "-W", "-db", "-f", "/usr/local/etc/haproxy/haproxy.cfg"),
    ),
    Image(
        name="rabbitmq:4-management",
        suite="sid",
        packages=(*_BASICS, "rabbitmq-server"),
        entrypoint="rabbitmq.sh",
        command=("rabbitmq-server",),
        user="rabbitmq",
        data="var/lib/rabbitmq",
        files={"etc/rabbitmq/enabled_plugins": "[rabbitmq_management].\n"},
        environment={
            "HOME": "/var/lib/rabbitmq",
            "RABBITMQ_LOGS": "-",
            "LANG": "C.UTF-8",
            # Before the wrappers of /usr/sbin, which write the log into files.
            "PATH": "/usr/local/bin:/usr/lib/rabbitmq/bin:/usr/sbin:/usr/bin",
        },
    ),
)
