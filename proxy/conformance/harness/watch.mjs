// Loaded before the suite's client: writes one line of JSON for each answer that
// it gets, so that a failing test can be shown with what weir said of every
// request. It only listens to what Node publishes and changes nothing.
import { channel } from 'node:diagnostics_channel'
import fs from 'node:fs'

const file = fs.openSync(process.env.WEIR_ANSWERS, 'a')

function record (request, response) {
  if (request['test-id'] === undefined) return // the suite's own bookkeeping
  fs.writeSync(file, JSON.stringify({
    test: last(request['test-id']),
    number: Number(last(request['req-num'])),
    method: request.method,
    status: response.status,
    cacheStatus: response['cache-status'] ?? '',
    age: response.age ?? ''
  }) + '\n')
}

// The pinned edition appends to lists of fields that its tests share, so that a
// request may carry the ids of several tests. Its own comes last.
function last (value) {
  return [value].flat().at(-1)
}

// node:http, which node-fetch is built on.
channel('http.client.response.finish').subscribe(({ request, response }) => {
  record({ ...request.getHeaders(), method: request.method },
    { ...response.headers, status: response.statusCode })
})

// The built-in fetch. Header fields come as a flat list or, in older versions,
// as the text that is sent.
channel('undici:request:headers').subscribe(({ request, response }) => {
  record({ ...fields(request.headers), method: request.method },
    { ...fields(response.headers), status: response.statusCode })
})

function fields (raw) {
  if (typeof raw === 'string') raw = raw.split('\r\n').flatMap(line => line.split(/: (.*)/s, 2))
  const byName = {}
  for (let i = 0; i + 1 < raw.length; i += 2) {
    const name = String(raw[i]).toLowerCase()
    const value = String(raw[i + 1])
    byName[name] = name in byName ? `${byName[name]}, ${value}` : value
  }
  return byName
}
