-- One POST with a JSON body, over and over; the figures of the run as one JSON line.
function init(args)
  wrk.method = "POST"
  wrk.body = args[1]
  wrk.headers["Content-Type"] = "application/json"
  if args[2] then wrk.headers["Authorization"] = "Bearer " .. args[2] end
end
function done(summary, latency, requests)
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "status": %d, "socket": %d, "p50": %d, "p99": %d}\n',
    summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
