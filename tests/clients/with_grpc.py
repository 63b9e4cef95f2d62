"""All kinds of gRPC calls. Prints what came of them, as JSON."""

import json
import os
import queue

import grpc

options = [("grpc.enable_http_proxy", 0)]


def channel(authority=None):
    # The name in the certificate stays that of the address.
    own = options + ([("grpc.default_authority", authority)] if authority else [])
    if "ROOTS" in os.environ:
        roots = grpc.ssl_channel_credentials(open(os.environ["ROOTS"], "rb").read())
        return grpc.secure_channel(os.environ["GATE"], roots, own)
    return grpc.insecure_channel(os.environ["GATE"], own)


def bearer(name):
    return (("authorization", "Bearer " + os.environ[name]), ("x-request-id", "7"), ("x-own-bin", b"\x01\xfe"))


def code_of(call):
    try:
        call()
        return "OK"
    except grpc.RpcError as error:
        return error.code().name


facts = {"version": grpc.__version__}
metadata = bearer("TOKEN")
echo = channel(os.environ.get("AUTHORITY"))
at = "/pkg.Echo/"

reply, call = echo.unary_unary(at + "Unary").with_call(b"hello", metadata=metadata, timeout=20)
facts["unary"] = reply.decode()
facts["initial"] = dict(call.initial_metadata()).get("x-initial")
trailing = dict(call.trailing_metadata())
facts["trailing"] = [trailing.get("x-trailing"), trailing.get("x-bytes-bin", b"").hex()]
facts["empty"] = echo.unary_unary(at + "Unary")(b"", metadata=metadata, timeout=20).decode()

words = iter([b"one", b"two", b"three"])
facts["of client"] = echo.stream_unary(at + "OfClient")(words, metadata=metadata, timeout=20).decode()

stream = echo.unary_stream(at + "OfServer")(b"5", metadata=metadata, timeout=20)
facts["of server"] = [message.decode() for message in stream]
facts["trailing of server"] = dict(stream.trailing_metadata()).get("x-trailing")

# Each message is answered before the next is sent.
messages = queue.Queue()
stream = echo.stream_stream(at + "Both")(iter(messages.get, None), metadata=metadata, timeout=20)
answers = []
for word in (b"a", b"b", b"c"):
    messages.put(word)
    answers.append(next(stream).decode())
messages.put(None)
facts["both"] = answers + [message.decode() for message in stream]
facts["trailing of both"] = dict(stream.trailing_metadata()).get("x-trailing")

large = echo.unary_stream(at + "Large")(b"128", metadata=metadata, timeout=60)
facts["large"] = sum(len(message) for message in large)

try:
    echo.unary_unary(at + "Fail")(b"", metadata=metadata, timeout=20)
except grpc.RpcError as error:
    facts["error"] = [error.code().name, error.details(), dict(error.trailing_metadata()).get("x-trailing")]
facts["no such method"] = code_of(lambda: echo.unary_unary(at + "None")(b"", metadata=metadata, timeout=20))


def cancelled():
    return echo.unary_unary(at + "WasCancelled")(b"20", metadata=metadata, timeout=30).decode()


stream = echo.unary_stream(at + "Slow")(b"", metadata=metadata, timeout=20)
facts["begun"] = next(stream).decode()
stream.cancel()
facts["cancelled"] = cancelled()

stream = echo.unary_stream(at + "Slow")(b"", metadata=metadata, timeout=0.5)
facts["deadline"] = code_of(lambda: list(stream))
facts["cancelled by deadline"] = cancelled()

bad = bearer("BAD_TOKEN")
facts["bad token"] = code_of(lambda: echo.unary_unary(at + "Unary")(b"", metadata=bad, timeout=20))
facts["no token"] = code_of(lambda: echo.unary_unary(at + "Unary")(b"", timeout=20))
stream = echo.stream_stream(at + "Both")(iter([b"a"]), metadata=bad, timeout=20)
facts["bad token, both"] = code_of(lambda: list(stream))

down = channel(os.environ["DOWN_AUTHORITY"]) if "DOWN_AUTHORITY" in os.environ else echo
facts["down"] = code_of(lambda: down.unary_unary("/pkg.Down/Unary")(b"", metadata=metadata, timeout=20))
facts["after"] = echo.unary_unary(at + "Unary")(b"again", metadata=metadata, timeout=20).decode()
print(json.dumps(facts))
