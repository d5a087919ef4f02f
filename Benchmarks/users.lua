-- GETs of a hundred users in turns, each with its own value of a header; the figures of the run as one JSON line.
-- Arguments: the header, its hundred values separated by commas; then pairs of headers that all requests have. A value that
-- stands before `@` is the user's, what follows is sent as x-node-id.
local requests = {}
local at = 0
function init(args)
  for index = 3, #args, 2 do wrk.headers[args[index]] = args[index + 1] end
  for part in string.gmatch(args[2], "[^,]+") do
    local user, node = string.match(part, "([^@]+)@(.+)")
    local headers = {}
    for name, value in pairs(wrk.headers) do headers[name] = value end
    headers[args[1]] = user or part
    if node then headers["x-node-id"] = node end
    requests[#requests + 1] = wrk.format("GET", nil, headers)
  end
end
function request()
  at = at % #requests + 1
  return requests[at]
end
function done(summary, latency, requests)
  io.write(string.format(
    'RESULT {"requests": %d, "microseconds": %d, "status": %d, "socket": %d, "p50": %d, "p99": %d}\n',
    summary.requests, summary.duration, summary.errors.status,
    summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout,
    latency:percentile(50), latency:percentile(99)))
end
