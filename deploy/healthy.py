"""Asks the service of this container for `/readyz`, and says what it answers: exit 0 if it is ready.

A program of its own, run without the libraries: it starts every few seconds, and must cost next to nothing.
"""

import os
import socket
import sys

_REQUEST = b"GET /readyz HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n"
_WITHIN_S = 2.5


def main() -> int:
    """Exit 0 if the service answers 200, 1 if it answers otherwise or not at all."""
    try:
        with socket.create_connection(
            ("127.0.0.1", int(os.environ["SHOP_SERVICE_PORT"])), timeout=_WITHIN_S
        ) as connection:
            answer = _ask(_over_tls(connection) if os.environ.get("SHOP_TLS_CERT_FILE") else connection)
    except OSError as error:
        print(f"no answer: {error}")
        return 1
    print(answer.partition(b"\r\n\r\n")[2].decode(errors="replace"))
    return 0 if answer.startswith(b"HTTP/1.1 200 ") else 1


def _ask(connection: socket.socket) -> bytes:
    connection.sendall(_REQUEST)
    answer = b""
    while part := connection.recv(65536):
        answer += part
    return answer


def _over_tls(connection: socket.socket) -> socket.socket:
    """Whose certificate it is, is not looked at: this is the way to the container's own process."""
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context.wrap_socket(connection)


if __name__ == "__main__":
    sys.exit(main())
