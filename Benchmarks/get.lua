-- One GET, over and over, with the headers of a usual client; the figures of the run as one JSON line.
function init(args)
  for at = 1, #args, 2 do wrk.headers[args[at]] = args[at + 1] end
end
function done(summary, latency, requests)
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "status": %d, "socket": %d, "p50": %d, "p99": %d}\n',
    summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
