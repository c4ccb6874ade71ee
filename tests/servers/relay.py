#!/usr/bin/env python3
"""A relay on loopback between grantd and a server: it can hold a request back so that the server never sees it.

The demonstration kills grantd while its refresh is held here: the token was not spent, nothing is lost.

  relay.py --to PORT [--port N]          prints {"event":"ready","port":N}
  POST /_relay/hold {"contains": TEXT}   the next request whose head or body has TEXT is held
  POST /_relay/release                   what is held goes on, later requests pass
  GET  /_relay/state                     {"passed","held","dropped"}; dropped: the caller went away while held
"""
import argparse
import asyncio
import json
import signal

BYTES_MAX = 1 << 20


class Relay:
    def __init__(self, port):
        self.port = port
        self.contains = None
        self.gate = asyncio.Event()
        self.state = {"passed": 0, "held": 0, "dropped": 0}

    async def on_connection(self, reader, writer):
        try:
            request = await self.read_request(reader)
            if b" /_relay/" in request.split(b"\r\n", 1)[0]:
                await self.control(request, writer)
            elif await self.may_pass(request, reader):
                await self.forward(request, writer)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, ConnectionError, ValueError):
            pass
        finally:
            writer.close()

    @staticmethod
    async def read_request(reader):
        head = await reader.readuntil(b"\r\n\r\n")
        length = 0
        for line in head.split(b"\r\n"):
            name, _, value = line.partition(b":")
            if name.strip().lower() == b"content-length":
                length = int(value)
        if length > BYTES_MAX:
            raise ValueError("too large")
        return head + (await reader.readexactly(length) if length else b"")

    async def may_pass(self, request, reader):
        if not self.contains or self.contains not in request:
            return True
        self.contains = None
        self.gate.clear()
        self.state["held"] += 1
        gone = asyncio.ensure_future(reader.read(1))
        opened = asyncio.ensure_future(self.gate.wait())
        done, waiting = await asyncio.wait({gone, opened}, return_when=asyncio.FIRST_COMPLETED)
        for one in waiting:
            one.cancel()
        self.state["held"] -= 1
        if opened in done:
            return True
        self.state["dropped"] += 1
        return False

    async def forward(self, request, writer):
        head, _, body = request.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if not line.lower().startswith(b"connection:")]
        upstream, out = await asyncio.open_connection("127.0.0.1", self.port, limit=BYTES_MAX)
        try:
            out.write(b"\r\n".join([*lines, b"Connection: close"]) + b"\r\n\r\n" + body)
            await out.drain()
            while data := await upstream.read(65536):
                writer.write(data)
                await writer.drain()
            self.state["passed"] += 1
        finally:
            out.close()

    async def control(self, request, writer):
        line, body = request.split(b"\r\n", 1)[0], request.partition(b"\r\n\r\n")[2]
        if b"/_relay/hold" in line:
            self.contains = json.loads(body)["contains"].encode()
        elif b"/_relay/release" in line:
            self.contains = None
            self.gate.set()
        text = json.dumps(self.state).encode()
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: "
                     + str(len(text)).encode() + b"\r\n\r\n" + text)
        await writer.drain()


async def serve(args):
    relay = Relay(args.to)
    listener = await asyncio.start_server(relay.on_connection, "127.0.0.1", args.port, limit=BYTES_MAX)
    print(json.dumps({"event": "ready", "port": listener.sockets[0].getsockname()[1]}), flush=True)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await stop.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--port", type=int, default=0)
    parser.add_argument("--to", type=int, required=True)
    asyncio.run(serve(parser.parse_args()))


if __name__ == "__main__":
    main()
