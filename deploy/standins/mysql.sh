#!/bin/sh
# Behaves as the entrypoint of the image `mysql` does, as far as compose.yaml needs it: options become mysqld's,
# an empty folder is made a database whose root has the password of MYSQL_ROOT_PASSWORD or MYSQL_ROOT_PASSWORD_FILE,
# and the server runs as the user mysql.
set -eu

case "${1:--}" in -*) set -- mysqld "$@" ;; esac
[ "$1" = mysqld ] || exec "$@"

data=/var/lib/mysql
first=
if [ ! -d "$data/mysql" ]; then
    password=${MYSQL_ROOT_PASSWORD:-}
    if [ -n "${MYSQL_ROOT_PASSWORD_FILE:-}" ]; then password=$(cat "$MYSQL_ROOT_PASSWORD_FILE"); fi
    case $password in
        "") echo "MYSQL_ROOT_PASSWORD(_FILE) is not set" >&2; exit 1 ;;
        *[\\\']*) echo "this stand-in takes no password with a quote or a backslash" >&2; exit 1 ;;
    esac
    mysqld --initialize-insecure --user=mysql --datadir="$data" --secure-file-priv=NULL
    first=/run/mysqld/first.sql
    {
        echo "CREATE USER 'root'@'%' IDENTIFIED BY '$password';"
        echo "GRANT ALL ON *.* TO 'root'@'%' WITH GRANT OPTION;"
        echo "ALTER USER 'root'@'localhost' IDENTIFIED BY '$password';"
    } >"$first"
    chown mysql "$first"
    chmod 600 "$first"
fi
shift
exec mysqld --user=mysql --datadir="$data" --secure-file-priv=NULL --mysqlx=OFF \
    --socket=/run/mysqld/mysqld.sock ${first:+--init-file="$first"} "$@"
