"""A server of WebSockets that demands the real credential. It prints its port, and then what it sees, a line each."""

import asyncio
import http
import json

from probe import env
from websockets.asyncio.server import serve
from websockets.exceptions import ConnectionClosed


def say(**facts):
    print(json.dumps(facts), flush=True)


def check(connection, request):
    fields = "".join(f"{name.lower()}: {value}\r\n" for name, value in request.headers.raw_items())
    known = request.headers.get_all("Authorization") == [f"Bearer {env('KEY')}"]
    say(head=f"GET {request.path} HTTP/1.1\r\n{fields}\r\n", known=known)
    if not known:
        return connection.respond(http.HTTPStatus.UNAUTHORIZED, "no such key\n")


async def echo(connection):
    try:
        while True:
            message = await connection.recv()
            if message == "close":
                await connection.close(4001, "as asked")
            elif message == "ping":
                # The answer is a pong, of the client's own accord.
                await (await connection.ping())
                await connection.send("pong")
            else:
                await connection.send(message)
    except ConnectionClosed:
        say(closed=connection.close_code, reason=connection.close_reason)


async def main():
    server = await serve(
        echo, "127.0.0.1", 0, process_request=check, subprotocols=["chat"], max_size=16 << 20, ping_interval=None
    )
    say(port=server.sockets[0].getsockname()[1])
    await server.serve_forever()


asyncio.run(main())
