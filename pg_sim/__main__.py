"""`python -m pg_sim`"""

import uvicorn

from pg_sim.app import create_app
from pg_sim.settings import SimulatorSettings
from shared.settings import load

settings = load(SimulatorSettings)
uvicorn.run(
    create_app(settings),
    host=settings.bind_host,
    port=settings.service_port,
    log_config=None,
    access_log=False,
    server_header=False,
    timeout_graceful_shutdown=1,
)
