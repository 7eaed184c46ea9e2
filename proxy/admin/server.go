package admin

import (
	"context"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"time"
)

const (
	// A scrape is one short request; whoever takes longer than this to send one
	// is broken or hostile.
	headerTimeout = 5 * time.Second
	readTimeout   = 30 * time.Second
	writeTimeout  = 60 * time.Second
	// Above the usual interval of scrapes.
	idleTimeout = 2 * time.Minute

	// maxHeaderBytes is far above what a token needs.
	maxHeaderBytes = 16 << 10
)

// Server serves a handler on one listener.
type Server struct {
	http *http.Server
	done chan struct{}
	// err is written before done is closed.
	err error
}

// Start serves h on ln, which it owns from now on, until Shutdown, within the
// bounds that connections.go names. Faults of single connections go to errorLog; nil means the standard logger.
func Start(ln net.Listener, h http.Handler, errorLog *log.Logger) *Server {
	s := &Server{
		http: &http.Server{
			Handler:           h,
			ReadHeaderTimeout: headerTimeout,
			ReadTimeout:       readTimeout,
			WriteTimeout:      writeTimeout,
			IdleTimeout:       idleTimeout,
			MaxHeaderBytes:    maxHeaderBytes,
			ErrorLog:          errorLog,
			ConnContext:       remember,
		},
		done: make(chan struct{}),
	}
	go func() {
		defer close(s.done)
		if err := s.http.Serve(&listener{ln, newConnections(errorLog)}); !errors.Is(err, http.ErrServerClosed) {
			s.err = fmt.Errorf("cannot serve the admin plane: %w", err)
		}
	}()
	return s
}

// Done is closed when the server has stopped accepting, by Shutdown or by a
// fault that Err then tells.
func (s *Server) Done() <-chan struct{} { return s.done }

// Err returns why the server stopped by itself; nil before Done and after Shutdown.
func (s *Server) Err() error {
	select {
	case <-s.done:
		return s.err
	default:
		return nil
	}
}

// Shutdown stops accepting and waits for the requests under way until ctx ends,
// then cuts them off. The listener is closed when it returns.
func (s *Server) Shutdown(ctx context.Context) error {
	err := s.http.Shutdown(ctx)
	if err != nil {
		err = fmt.Errorf("cannot finish requests on the admin plane: %w", err)
		_ = s.http.Close() // of connections that were given up
	}
	<-s.done
	return err
}
