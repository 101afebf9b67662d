#!/bin/sh
# Behaves as the entrypoint of the image `rabbitmq` does, as far as compose.yaml needs it: whatever is called runs as
# the user rabbitmq, who owns the data; the server reads /etc/rabbitmq/conf.d and says its log on the terminal.
set -eu

if [ "$(id -u)" = 0 ]; then
    find /var/lib/rabbitmq ! -user rabbitmq -exec chown rabbitmq: {} +
    exec setpriv --reuid=rabbitmq --regid=rabbitmq --clear-groups "$0" "$@"
fi
# The script then becomes the Erlang VM, which SIGTERM shuts down, instead of watching over it.
export RUNNING_UNDER_SYSTEMD=true
exec "$@"
