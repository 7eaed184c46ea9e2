package bus

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
)

// NATS is a Transport over NATS: over a server of its own inside the process, or
// an external one.
type NATS struct {
	server *embedded // nil with an external server
	conn   *nats.Conn
	log    *slog.Logger

	all, own string // subjects
	prefix   string
	messages chan *nats.Msg
	stopped  chan struct{}
	running  sync.WaitGroup
	once     sync.Once
}

// inbox bounds the messages that wait; more are dropped by the client library,
// and fetched later.
const inbox = 4096

// External connects to a NATS server that others run. It need not be there yet.
func External(url, node, cluster string, log *slog.Logger) (*NATS, error) {
	n := newNATS(node, cluster, log)
	conn, err := nats.Connect(url, append(n.options(), nats.RetryOnFailedConnect(true), nats.Timeout(2*time.Second))...)
	if err != nil {
		return nil, fmt.Errorf("cannot use the NATS server of cluster.nats: %w", err)
	}
	n.conn = conn
	return n, nil
}

// Embedded starts a NATS server in this process, with routes to those of the
// peers.
func Embedded(o RouteOptions) (*NATS, error) {
	n := newNATS(o.Node, o.Cluster, o.Log)
	s, err := startEmbedded(o)
	if err != nil {
		return nil, err
	}
	conn, err := nats.Connect("", append(n.options(), nats.InProcessServer(s.server), nats.UserInfo(s.user, s.password))...)
	if err != nil {
		s.close()
		return nil, fmt.Errorf("cannot connect to the embedded NATS server: %w", err)
	}
	n.server, n.conn = s, conn
	return n, nil
}

func newNATS(node, cluster string, log *slog.Logger) *NATS {
	prefix := "weir." + subjectToken(cluster)
	return &NATS{
		log: log, prefix: prefix, all: prefix + ".all", own: prefix + ".to." + subjectToken(node),
		messages: make(chan *nats.Msg, inbox), stopped: make(chan struct{}),
	}
}

// subjectToken makes any name a token of a NATS subject.
func subjectToken(name string) string {
	sum := sha256.Sum256([]byte(name))
	return hex.EncodeToString(sum[:10])
}

func (n *NATS) options() []nats.Option {
	return []nats.Option{
		nats.Name("weir"), nats.NoEcho(), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		nats.ReconnectBufSize(-1), // what cannot be sent is lost, and fetched later
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			if !errors.Is(err, nats.ErrSlowConsumer) { // the gap shows, and is fetched
				n.log.Debug("NATS", "error", err)
			}
		}),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				n.log.Warn("the connection to NATS is lost", "error", err)
			}
		}),
	}
}

// Start implements Transport. One channel takes both subjects, so that messages of
// one node keep their order.
func (n *NATS) Start(receive func(b []byte)) error {
	for _, subject := range []string{n.all, n.own} {
		if _, err := n.conn.ChanSubscribe(subject, n.messages); err != nil {
			return fmt.Errorf("cannot subscribe: %w", err)
		}
	}
	n.running.Go(func() {
		for {
			select {
			case m := <-n.messages:
				receive(m.Data)
			case <-n.stopped:
				return
			}
		}
	})
	return nil
}

// Broadcast implements Transport.
func (n *NATS) Broadcast(b []byte) error { return n.publish(n.all, b) }

// Send implements Transport.
func (n *NATS) Send(node string, b []byte) error {
	return n.publish(n.prefix+".to."+subjectToken(node), b)
}

func (n *NATS) publish(subject string, b []byte) error {
	err := n.conn.Publish(subject, b)
	if errors.Is(err, nats.ErrReconnectBufExceeded) || errors.Is(err, nats.ErrConnectionClosed) {
		return nil // not connected: lost, as on any broken link
	}
	return err
}

// Close implements Transport. What was sent leaves first, if it can.
func (n *NATS) Close() {
	n.once.Do(func() {
		_ = n.conn.FlushTimeout(200 * time.Millisecond)
		close(n.stopped)
		n.running.Wait()
		n.conn.Close()
		if n.server != nil {
			n.server.close()
		}
	})
}

// RouteAddress is where the embedded server takes routes; "" with an external one.
func (n *NATS) RouteAddress() string {
	if n.server == nil {
		return ""
	}
	return n.server.address()
}
