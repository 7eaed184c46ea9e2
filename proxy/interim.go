package proxy

import (
	"net/textproto"
	"strconv"

	"github.com/valyala/fasthttp"
)

// interim passes an interim response of the origin on to the client that caused
// the fetch (RFC 9110 section 15.2, RFC 8297). It runs while the handler waits
// for the origin, so nobody else writes to the connection. Interim responses
// are never stored, and followers do not see them: they may have begun to
// receive the final one.
func (x *exchange) interim(code int, h textproto.MIMEHeader) error {
	if !x.ctx.Request.Header.IsHTTP11() || code == fasthttp.StatusSwitchingProtocols {
		// An HTTP/1.0 client knows no interim responses.
		return nil
	}
	b := make([]byte, 0, 512)
	b = append(b, "HTTP/1.1 "...)
	b = strconv.AppendInt(b, int64(code), 10)
	b = append(b, ' ')
	b = append(b, statusMessage(code)...)
	b = append(b, "\r\n"...)
	for name, values := range h {
		switch name {
		case "Connection", "Keep-Alive", "Transfer-Encoding", "Content-Length", "Upgrade", "Trailer", "Te":
			continue
		}
		for _, v := range values {
			b = append(b, name...)
			b = append(b, ": "...)
			b = append(b, v...)
			b = append(b, "\r\n"...)
		}
	}
	b = append(b, "\r\n"...)
	// A client that is gone does not stop the fetch: others may follow it.
	_, _ = x.ctx.Conn().Write(b)
	return nil
}
