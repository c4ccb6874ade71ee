"""A wire between a client and a server on loopback, which the tests can lead elsewhere, cut, or cut at the worst
moment: between a COMMIT and its answer."""
import contextlib
import select
import socket
import threading


class Wire:
    """Listens on a port of its own; each connection is led to what target() says then (None: refused)."""

    def __init__(self, target):
        self.target = target
        self.listener = socket.create_server(("127.0.0.1", 0), backlog=64)
        self.port = self.listener.getsockname()[1]
        self.lock, self.open = threading.Lock(), set()
        self.cut_at, self.forwarded = None, True
        self.cuts = 0
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client):
        to = self.target()
        try:
            server = socket.create_connection(("127.0.0.1", to), 5) if to else None
        except OSError:
            server = None
        if not server:
            client.close()
            return
        pair = (client, server)
        with self.lock:
            self.open.add(pair)
        with contextlib.suppress(OSError, ValueError):
            self._pump(client, server)
        with self.lock:
            self.open.discard(pair)
        for one in pair:
            one.close()

    def _pump(self, client, server):
        for one in (client, server):
            one.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            one.settimeout(10)
        while True:
            for one in select.select([client, server], [], [])[0]:
                data = one.recv(65536)
                if not data:
                    return
                if one is client and self._strikes(data):
                    if self.forwarded:
                        server.sendall(data)
                        select.select([server], [], [], 2)  # it has answered; nobody hears it
                    return
                (server if one is client else client).sendall(data)

    def _strikes(self, data):
        with self.lock:
            if not self.cut_at or self.cut_at not in data:
                return False
            self.cut_at = None
            self.cuts += 1
            return True

    def cut_commit(self, forwarded=True, text=b"COMMIT"):
        """The next COMMIT that passes takes its connection along: before its answer comes, or before it arrives."""
        with self.lock:
            self.cut_at, self.forwarded = text, forwarded

    def cut(self):
        """All connections end."""
        with self.lock:
            for pair in self.open:
                for one in pair:
                    with contextlib.suppress(OSError):
                        one.shutdown(socket.SHUT_RDWR)

    def close(self):
        self.listener.close()
        self.cut()
