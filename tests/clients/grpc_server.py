"""A gRPC server of bytes. Says its port on standard output, and ends with standard input."""

import os
import sys
import threading
from concurrent import futures

import grpc

KEY = "Bearer " + os.environ["API_KEY"]
cancelled = threading.Event()
log = open(os.environ["LOG"], "w", newline="")


def enter(context):
    metadata = context.invocation_metadata()
    for name, value in metadata:
        text = value if isinstance(value, str) else value.decode("latin-1")
        log.write(f"\r\n{name}: {text}\r\n")
    log.flush()
    if [value for name, value in metadata if name == "authorization"] != [KEY]:
        context.abort(grpc.StatusCode.PERMISSION_DENIED, "wrong key")
    context.send_initial_metadata((("x-initial", "first"),))
    context.set_trailing_metadata((("x-trailing", "last"), ("x-bytes-bin", b"\x00\xff")))


def unary(request, context):
    enter(context)
    return request[::-1]


def of_client(requests, context):
    enter(context)
    return b",".join(requests)


def of_server(request, context):
    enter(context)
    for number in range(int(request)):
        yield str(number).encode()


def both(requests, context):
    enter(context)
    for request in requests:
        yield b"<" + request + b">"


def large(request, context):
    enter(context)
    for _ in range(int(request)):
        yield b"a" * 65536


def fail(request, context):
    enter(context)
    context.abort(grpc.StatusCode.FAILED_PRECONDITION, "not like \u00e4 this")


def slow(request, context):
    enter(context)
    context.add_callback(cancelled.set)
    yield b"begun"
    cancelled.wait(30)


def was_cancelled(request, context):
    enter(context)
    seen = cancelled.wait(float(request))
    cancelled.clear()
    return b"yes" if seen else b"no"


methods = {
    "Unary": grpc.unary_unary_rpc_method_handler(unary),
    "OfClient": grpc.stream_unary_rpc_method_handler(of_client),
    "OfServer": grpc.unary_stream_rpc_method_handler(of_server),
    "Both": grpc.stream_stream_rpc_method_handler(both),
    "Large": grpc.unary_stream_rpc_method_handler(large),
    "Fail": grpc.unary_unary_rpc_method_handler(fail),
    "Slow": grpc.unary_stream_rpc_method_handler(slow),
    "WasCancelled": grpc.unary_unary_rpc_method_handler(was_cancelled),
}
server = grpc.server(futures.ThreadPoolExecutor(8))
server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("pkg.Echo", methods)])
if "CERT" in os.environ:
    pair = [open(os.environ[name], "rb").read() for name in ("CERT_KEY", "CERT")]
    port = server.add_secure_port("127.0.0.1:0", grpc.ssl_server_credentials([tuple(pair)]))
else:
    port = server.add_insecure_port("127.0.0.1:0")
server.start()
print(port, flush=True)
sys.stdin.read()
server.stop(None)
