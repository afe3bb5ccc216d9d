-- The requests of `billhook bench` for wrk: every event has a number of its own.
-- Arguments after the address: file with the event, API key, first number, events a request, customers.

local template, number, each, customers

function init(args)
  local file = assert(io.open(args[1], "rb"))
  template = file:read("*a")
  file:close()
  number, each, customers = tonumber(args[3]), tonumber(args[4]), tonumber(args[5])
  wrk.method = "POST"
  wrk.headers["Authorization"] = "Bearer " .. args[2]
  wrk.headers["Content-Type"] = "application/json"
end

local function event()
  local made = template:gsub("@N@", string.format("%08d", number))
  made = made:gsub("@C@", string.format("%04d", number % customers))
  number = number + 1
  return made
end

function request()
  if each == 1 then
    return wrk.format(nil, nil, nil, event())
  end
  local events = {}
  for place = 1, each do
    events[place] = event()
  end
  return wrk.format(nil, nil, nil, "[" .. table.concat(events, ",") .. "]")
end

function done(summary, latency)
  local lost = summary.errors.connect + summary.errors.read + summary.errors.write + summary.errors.timeout
  io.write(string.format(
    '\n{"requests": %d, "refused": %d, "lost": %d, "seconds": %f, "p50_ms": %f, "p99_ms": %f}\n',
    summary.requests, summary.errors.status, lost, summary.duration / 1e6,
    latency:percentile(50) / 1e3, latency:percentile(99) / 1e3))
end
