"""Command line of local runs: `python -m deploy.local up|down|...`."""

import sys
from deploy.local import fleet

{"infra": fleet.infra, "down": fleet.down}[sys.argv[1]]()
