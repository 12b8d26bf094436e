"""A small HTTP server that keeps connections open and answers every request with the same bytes.

    responder.py PORT_FILE

Writes the port it listens on to PORT_FILE.
"""

from __future__ import annotations

import os
import selectors
import socket
import sys
from typing import Dict

BODY = b'{"name": "Ann"}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s" % (len(BODY), BODY)


def main() -> None:
    """Answer until ended."""
    listener = socket.create_server(("127.0.0.1", 0), backlog=100)
    with open(sys.argv[1] + ".new", "w") as file:
        file.write(str(listener.getsockname()[1]))
    os.rename(sys.argv[1] + ".new", sys.argv[1])
    ready = selectors.DefaultSelector()
    ready.register(listener, selectors.EVENT_READ)
    pending: Dict[int, bytes] = {}
    while True:
        for key, _ in ready.select():
            if key.fileobj is listener:
                connection, _ = listener.accept()
                connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                ready.register(connection, selectors.EVENT_READ)
                continue
            connection = key.fileobj  # type: ignore[assignment]
            try:
                data = connection.recv(65536)
                if data:
                    data = pending.pop(key.fd, b"") + data
                    *whole, rest = data.split(b"\r\n\r\n")
                    if rest:
                        pending[key.fd] = rest
                    connection.sendall(ANSWER * len(whole))
                    continue
            except OSError:
                pass
            pending.pop(key.fd, None)
            ready.unregister(connection)
            connection.close()


if __name__ == "__main__":
    main()
