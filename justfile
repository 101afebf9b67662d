# Sagamart's commands. `./just` lists them and needs only Python 3.11+; with just installed, `just RECIPE` does too.

set shell := ["sh", "-eu", "-c"]
set positional-arguments := true

python := justfile_directory() / ".venv/bin/python"
local := quote(python) + " -m deploy.local"
sync := "if [ -x .venv/bin/python ]; then set -- .venv/bin/python -I deploy/bootstrap.py; else set -- ./just; fi; \"$@\" --sync"
# Compiled code is kept, also where the terminal forbids it: each worker and each of the hundreds of processes that
# tests start would compile everything for itself.
pytest := "PYTHONDONTWRITEBYTECODE= " + quote(python) + " -m pytest"
ops := "PYTHONPATH=" + quote(justfile_directory()) + " " + local + " run"

[private]
default:
    @'{{ just_executable() }}' --justfile '{{ justfile() }}' --list --unsorted

[private]
_run:
    @{{ sync }} run

[private]
_dev:
    @{{ sync }} dev

[private]
_bench:
    @{{ sync }} bench

# --- see it work

[doc("Start the shop if it is down, drive orders of every outcome, check the books")]
[group("see it work")]
[no-cd]
demo *args: _run
    @{{ ops }} ops.demo "$@"

[doc("Run real orders of a retail CSV through the shop")]
[group("see it work")]
[no-cd]
replay *args: _run
    @{{ ops }} ops.replay "$@"

[doc("Check the books across all databases; exit 1 if they do not balance")]
[group("see it work")]
[no-cd]
verify *args: _run
    @{{ ops }} ops.verify "$@"

[doc("Show the saga of one order, step by step")]
[group("see it work")]
[no-cd]
trace *args: _run
    @{{ ops }} ops.trace "$@"

[doc("Show dead letters by cause, or one of them; discard them (--discard ID --reason TEXT)")]
[group("see it work")]
[no-cd]
dead *args: _run
    @{{ ops }} ops.dead "$@"

[doc("Send dead letters back to the queues they failed in: redrive ID | --group G | --all")]
[group("see it work")]
[no-cd]
redrive *args: _run
    @{{ ops }} ops.redrive "$@"

[doc("List payments that need a person; close one (--resolve ID --as returned|kept|not_charged --reason TEXT)")]
[group("see it work")]
[no-cd]
payments *args: _run
    @{{ ops }} ops.payments "$@"

[doc("Show what waits in the outboxes; of one SERVICE, what could not be sent; try it again (--send ID | --all)")]
[group("see it work")]
[no-cd]
outbox *args: _run
    @{{ ops }} ops.outbox "$@"

[doc("Show messages live as the broker delivers them (--order ID, --event NAME)")]
[group("see it work")]
[no-cd]
trace-broker *args: _run
    @{{ ops }} ops.trace_broker "$@"

[doc("Write the stored events as NDJSON (--since POSITION, --limit N, --follow)")]
[group("see it work")]
[no-cd]
export *args: _run
    @{{ ops }} ops.export "$@"

[doc("Break a shop of its own by a seeded plan while people buy, then check the books (--seconds N --seed N --infra)")]
[group("see it work")]
[no-cd]
chaos *args: _run
    @{{ ops }} ops.chaos "$@"

[doc("Measure a shop of its own, compared with alternatives: bench [NAMES] --quick --rounds N --json FILE --svg FILE")]
[group("see it work")]
[no-cd]
bench *args: _bench
    @{{ ops }} bench "$@"

[doc("Draw where a running service spends its time, as a flame graph: profile order 10 [--of-bench]")]
[group("work on it")]
[no-cd]
profile *args: _bench
    @{{ ops }} bench.profile "$@"

# --- run it

[doc("Start the shop in the background; return when all of it is ready")]
[group("run it")]
up: _run
    @{{ local }} up

[doc("Stop everything; data stays")]
[group("run it")]
down: _run
    @{{ local }} down

[doc("Show what runs: state, pid, memory, replicas (--json)")]
[group("run it")]
ps *args: _run
    @{{ local }} ps "$@"

[doc("Show the log of a service and follow it (-n LINES, --no-follow)")]
[group("run it")]
logs *args: _run
    @{{ local }} logs "$@"

[doc("Restart a service, or all of them, replica by replica")]
[group("run it")]
restart *service: _run
    @{{ local }} restart "$@"

[doc("Stop a service, one replica (order-2), broker or database")]
[group("run it")]
stop service: _run
    @{{ local }} stop "$@"

[doc("Start what was stopped")]
[group("run it")]
start service: _run
    @{{ local }} start "$@"

[doc("Set the number of replicas of a service: scale order 3")]
[group("run it")]
scale service replicas: _run
    @{{ local }} scale "$@"

[doc("Print every URL and port (--json)")]
[group("run it")]
open *args: _run
    @{{ local }} open "$@"

[doc("Show what each service may do at the broker, and who may make which calls (--json)")]
[group("run it")]
[no-cd]
permissions *args: _run
    @{{ ops }} ops.permissions "$@"

[doc("Admins: admin create EMAIL, admin revoke EMAIL, admin list")]
[group("run it")]
[no-cd]
[no-exit-message]
admin *args: _run
    @{{ ops }} ops.admin "$@"

[doc("Rebuild orders, rankings and sales of the read side from the stored events")]
[group("run it")]
rebuild *args: _run
    @{{ ops }} ops.rebuild "$@"

[doc("Make a call of a service as its operator: call item get_many '{\"ids\": [1]}'")]
[group("run it")]
[no-cd]
[no-exit-message]
call *args: _run
    @{{ ops }} ops.call "$@"

[doc("Sign access tokens with a new key; nobody is signed out")]
[group("run it")]
rotate-keys: _run
    @{{ ops }} ops.rotate_keys

[doc("Stop everything and delete all data and logs")]
[group("run it")]
reset: _run
    @{{ local }} reset

# --- work on it

[doc("Run the test suite (arguments go to pytest)")]
[group("work on it")]
test *args: _dev
    @{{ pytest }} "$@"

[doc("Run the tests that need no other program: neither broker nor database")]
[group("work on it")]
test-fast *args: _dev
    @{{ pytest }} -m "not servers and not long and not slow" "$@"

[doc("Run the long tests, which the suite leaves out")]
[group("work on it")]
test-long *args: _dev
    @{{ pytest }} -m long "$@"

[doc("Run the shop and its tests on other servers: engines mysql rabbitmq-4.3; without names, list them")]
[group("work on it")]
[no-cd]
engines *args: _dev
    @PYTHONPATH={{ quote(justfile_directory()) }} {{ quote(python) }} -m deploy.engines "$@"

[doc("Show the shop in containers: demo, restarts while people buy (--standins where no image can be pulled)")]
[group("work on it")]
[no-cd]
containers *args: _run
    @PYTHONPATH={{ quote(justfile_directory()) }} {{ quote(python) }} -m deploy.containers "$@"

[doc("Check style, types and imports")]
[group("work on it")]
lint: _dev
    @status=0; \
    {{ quote(python) }} -m ruff check . || status=1; \
    {{ quote(python) }} -m ruff format --check . || status=1; \
    {{ quote(python) }} -m pyright || status=1; \
    {{ quote(python) }} -c 'from importlinter.cli import lint_imports_command as lint; lint()' || status=1; \
    exit $status

[doc("Format the code and fix what can be fixed automatically")]
[group("work on it")]
fmt: _dev
    @{{ quote(python) }} -m ruff check --fix . ; {{ quote(python) }} -m ruff format .

[doc("Make a service that runs, with tests, and enter it everywhere: new-service parcel")]
[group("work on it")]
new-service *name: _dev
    @{{ quote(python) }} -m deploy.new_service "$@"

[doc("Write migrations for changed models: makemigrations order_svc")]
[group("work on it")]
makemigrations *modules: _run
    @{{ quote(python) }} -m shared.migrate make "$@"

[doc("Bring databases and queues up to date (up does it too)")]
[group("work on it")]
migrate: _run
    @{{ local }} migrate
