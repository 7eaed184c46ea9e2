package proxy

import (
	"reflect"
	"sync/atomic"
	"time"
	"unsafe"

	"github.com/valyala/fasthttp"
)

// sendWhenWhole has fasthttp send the answer when it is whole. By itself it keeps it
// back while another request is in its buffer, and two things go wrong then: the
// answer waits for that of a request that may take long, and what is written past
// fasthttp's buffer (interim responses, bodies for HTTP/1.0) overtakes it.
//
// It does send at once when the handler has set a write deadline. Setting one costs a
// hundredth of a hit, so only the mark is set that fasthttp makes of it.
func sendWhenWhole(ctx *fasthttp.RequestCtx) {
	if deadlineMark == 0 {
		_ = ctx.SetWriteDeadline(time.Time{}) // one that fails is closed
		return
	}
	mark := (*atomic.Bool)(unsafe.Add(unsafe.Pointer(ctx), deadlineMark))
	if !mark.Load() {
		mark.Store(true)
	}
}

// deadlineMark is where in a context the mark is; 0: there is none.
var deadlineMark = func() uintptr {
	f, ok := reflect.TypeFor[fasthttp.RequestCtx]().FieldByName("handlerWriteDeadlineSet")
	if !ok || f.Type != reflect.TypeFor[atomic.Bool]() {
		return 0
	}
	return f.Offset
}()
