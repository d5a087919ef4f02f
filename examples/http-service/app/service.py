"""A service over HTTP: what it answers, whether it is well, what it counts."""

import os
import time

import prometheus_client
import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()
REQUESTS = prometheus_client.Counter("http_requests_total", "Requests by path and status", ["path", "status"])
SECONDS = prometheus_client.Histogram("http_request_duration_seconds", "Time to the answer", ["path"])


@app.middleware("http")
async def count(request: Request, call_next):
    began = time.perf_counter()
    response = await call_next(request)
    route = request.scope.get("route")
    path = route.path if route else "unknown"
    REQUESTS.labels(path, response.status_code).inc()
    SECONDS.labels(path).observe(time.perf_counter() - began)
    return response


@app.get("/")
def root():
    return {"message": "Hello from Roost", "instance": os.environ.get("ROOST_INSTANCE_ID", "")}


@app.get("/urls")
def urls():
    """Every path that is served."""
    return [{"path": route.path, "name": route.name} for route in app.routes]


@app.get("/health-check")
def health_check():
    return {"status": "ok"}


@app.get("/metrics")
def metrics():
    return Response(prometheus_client.generate_latest(), media_type=prometheus_client.CONTENT_TYPE_LATEST)


if __name__ == "__main__":
    uvicorn.run(app, host="0.0.0.0", port=int(os.environ.get("PORT", "9875")), log_level="info")
