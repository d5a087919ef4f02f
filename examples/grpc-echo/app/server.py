"""echo.v1.Echo with a health service, reflection and metrics on a port of their own."""

import os
import signal
import threading
from concurrent import futures

import echo_pb2
import grpc
import health_pb2
import prometheus_client
import reflection_pb2
from google.protobuf import descriptor_pool

ECHO, HEALTH = "echo.v1.Echo", "grpc.health.v1.Health"
REFLECTION = ["grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection"]
CALLS = prometheus_client.Counter("echo_calls_total", "Calls of Reflect")
serving = threading.Event()


def reflect(request, context):
    CALLS.inc()
    return echo_pb2.ReflectResponse(message=request.message)


def check(request, context):
    if request.service not in ("", ECHO):
        context.abort(grpc.StatusCode.NOT_FOUND, f"no service {request.service}")
    response = health_pb2.HealthCheckResponse
    return response(status=response.SERVING if serving.is_set() else response.NOT_SERVING)


def describe(requests, context):
    """What clients without the .proto ask: names of services, and the files that describe them."""
    for request in requests:
        answer = reflection_pb2.ServerReflectionResponse(original_request=request)
        pool = descriptor_pool.Default()
        try:
            asked = request.WhichOneof("message_request")
            if asked == "list_services":
                for name in [ECHO, HEALTH, REFLECTION[0]]:
                    answer.list_services_response.service.add(name=name)
            elif asked == "file_by_filename":
                file = pool.FindFileByName(request.file_by_filename)
                answer.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
            elif asked == "file_containing_symbol":
                file = pool.FindFileContainingSymbol(request.file_containing_symbol)
                answer.file_descriptor_response.file_descriptor_proto.append(file.serialized_pb)
            else:
                raise KeyError(asked)
        except KeyError as error:
            answer.error_response.error_code = grpc.StatusCode.NOT_FOUND.value[0]
            answer.error_response.error_message = str(error)
        yield answer


def unary(function, request):
    return grpc.unary_unary_rpc_method_handler(
        function, request.FromString, lambda answer: answer.SerializeToString()
    )


def main():
    server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
    info = grpc.stream_stream_rpc_method_handler(
        describe, reflection_pb2.ServerReflectionRequest.FromString, lambda answer: answer.SerializeToString()
    )
    services = {
        ECHO: {"Reflect": unary(reflect, echo_pb2.ReflectRequest)},
        HEALTH: {"Check": unary(check, health_pb2.HealthCheckRequest)},
        **{name: {"ServerReflectionInfo": info} for name in REFLECTION},
    }
    server.add_generic_rpc_handlers(
        [grpc.method_handlers_generic_handler(name, methods) for name, methods in services.items()]
    )
    server.add_insecure_port(f"0.0.0.0:{os.environ.get('PORT', '9875')}")
    prometheus_client.start_http_server(9876)
    server.start()
    serving.set()
    print("echo.v1.Echo serves", flush=True)
    ended = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: ended.set())
    ended.wait()
    # No new calls are wanted; those under way may end.
    serving.clear()
    server.stop(10).wait()


if __name__ == "__main__":
    main()
