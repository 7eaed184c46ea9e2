-- The load of a comparison, for wrk. Arguments behind "--":
--   hot PREFIX COUNT      the objects PREFIX0 to PREFIX(COUNT-1), in turn
--   new PREFIX START      PREFIX(START), PREFIX(START+1), ...: never asked for before
--   list FILE             the paths in FILE, one a line, in turn
-- It prints one line of JSON at the end.

local function get(path)
  return "GET " .. path .. " HTTP/1.1\r\nHost: compare.test\r\n\r\n"
end

local modes = {}

function modes.hot(prefix, count)
  local requests, n, i = {}, tonumber(count), 0
  for k = 0, n - 1 do requests[k] = get(prefix .. k) end
  return function()
    local r = requests[i]
    i = i + 1
    if i == n then i = 0 end
    return r
  end
end

modes["new"] = function(prefix, start)
  local i = tonumber(start)
  return function()
    i = i + 1
    return get(prefix .. i)
  end
end

function modes.list(file)
  local paths, n, i = {}, 0, 0
  for line in io.lines(file) do paths[n] = line; n = n + 1 end
  return function()
    local r = get(paths[i])
    i = i + 1
    if i == n then i = 0 end
    return r
  end
end

function init(args)
  request = modes[args[1]](args[2], args[3])
end

function done(summary, latency, requests)
  local e = summary.errors
  io.write(string.format(
    '\n{"requests":%d,"duration_us":%d,"bytes":%d,"connect":%d,"read":%d,"write":%d,"status":%d,"timeout":%d,' ..
    '"p50_us":%d,"p99_us":%d,"p999_us":%d,"max_us":%d}\n',
    summary.requests, summary.duration, summary.bytes, e.connect, e.read, e.write, e.status, e.timeout,
    latency:percentile(50), latency:percentile(99), latency:percentile(99.9), latency.max))
end
