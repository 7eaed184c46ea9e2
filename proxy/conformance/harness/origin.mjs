// Loaded before the suite's server, which listens on every interface and on a
// port chosen beforehand: makes it listen on loopback, on a free port, and tell
// which one it got.
import http from 'node:http'

const listen = http.Server.prototype.listen
http.Server.prototype.listen = function () {
  return listen.call(this, 0, '127.0.0.1', () => {
    console.log(`origin listens on 127.0.0.1:${this.address().port}`)
  })
}
