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
        self.gone_after = self.gone = False
        threading.Thread(target=self._accept, daemon=True).start()

    def _accept(self):
        while True:
            try:
                client, _ = self.listener.accept()
            except OSError:
                return
            threading.Thread(target=self._lead, args=(client,), daemon=True).start()

    def _lead(self, client):
        to = None if self.gone else self.target()
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
                    if self.gone:
                        self.cut()
                    return
                (server if one is client else client).sendall(data)

    def _strikes(self, data):
        with self.lock:
            if not self.cut_at or self.cut_at not in data:
                return False
            self.cut_at = None
            self.gone = self.gone_after
            return True

    def cut_commit(self, forwarded=True, text=b"COMMIT\0", gone=False):
        """The next COMMIT that passes takes its connection along: before its answer comes, or before it arrives. (BEGIN
        says READ COMMITTED: the text ends here.) gone: and all others, and nobody gets through until back()."""
        with self.lock:
            self.cut_at, self.forwarded, self.gone_after = text, forwarded, gone

    def back(self):
        self.gone = False

    def struck(self):
        """The cut that was ordered is done."""
        with self.lock:
            return self.cut_at is None

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
