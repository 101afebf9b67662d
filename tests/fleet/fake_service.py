"""A service for tests of local runs: ready at once, tells its settings, refuses to start when asked."""

import http.server
import json
import os
import signal
import socket
import sys
import threading


class _Answer(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        settings = {name: value for name, value in os.environ.items() if name.startswith("SHOP_")}
        body = json.dumps(settings | {"checks": {}}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Nothing: the log of this fake is what tests look at."""


class _Server(http.server.ThreadingHTTPServer):
    def server_bind(self) -> None:
        self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        super().server_bind()


def main() -> None:
    """Serve on the own port and, if there is one, on the public port."""
    if os.environ.get("SHOP_REFUSE"):
        sys.exit("this setting cannot be used: SHOP_REFUSE")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    print(json.dumps({"event": "started", "level": "info", "instance": os.environ["SHOP_INSTANCE"]}))
    print("a line on the other output", file=sys.stderr)
    if public := os.environ.get("SHOP_PUBLIC_PORT"):
        door = _Server(("127.0.0.1", int(public)), _Answer)
        threading.Thread(target=door.serve_forever, daemon=True).start()
    _Server(("127.0.0.1", int(os.environ["SHOP_SERVICE_PORT"])), _Answer).serve_forever()


if __name__ == "__main__":
    main()
