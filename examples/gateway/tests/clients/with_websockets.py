import websockets
from probe import env, raised, report
from websockets.sync.client import connect

url = env("CHAT_BASE_URL").replace("http", "ws", 1) + "/echo?room=1"
down = env("DOWN_URL").replace("http", "ws", 1)
key = env("CHAT_API_KEY")


def bearer(key):
    return {"Authorization": f"Bearer {key}"}


def opened(url=url, headers=None, **more):
    return connect(url, additional_headers=headers, max_size=16 << 20, proxy=None, **more)


def close_code(socket):
    socket.send("close")
    error = raised(socket.recv, code=lambda error: error.rcvd.code, reason=lambda error: error.rcvd.reason)
    return [error["code"], error["reason"]]


def status(error):
    return error.response.status_code


with opened(headers=bearer(key), subprotocols=["other", "chat"]) as socket:
    socket.send("hello")
    echo = socket.recv()
    socket.send(b"\x00\x01")
    binary = list(socket.recv())
    large = "0123456789abcdef" * (1 << 18)
    socket.send(large)
    same = socket.recv() == large
    socket.ping().wait(60)
    socket.send("ping")
    pong = socket.recv()
    extensions = socket.response.headers["Sec-WebSocket-Extensions"]
    subprotocol = socket.subprotocol
    closed = close_code(socket)

with opened(subprotocols=["chat", f"token.{key}"]) as socket:
    socket.send("hello")
    listed = [socket.subprotocol, socket.recv()]
    socket.close(4002, "enough")

report(
    version=websockets.__version__,
    echo=echo,
    binary=binary,
    large=same,
    pong=pong,
    extensions=extensions,
    subprotocol=subprotocol,
    closed=closed,
    listed=listed,
    refused=raised(lambda: opened(headers=bearer(env("BAD_KEY"))), status=status),
    down=raised(lambda: opened(down, headers=bearer(key)), status=status),
)
