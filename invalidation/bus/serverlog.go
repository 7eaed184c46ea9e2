package bus

import (
	"context"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"sync"
	"time"
)

// serverLog passes on what the embedded NATS server has to say, each kind of line
// once a minute.
type serverLog struct {
	log  *slog.Logger
	mu   sync.Mutex // protects said
	said map[string]time.Time
}

// connection is what the library puts before a format: whose connection it is.
var connection = regexp.MustCompile(`^\S+ - [a-z_]+:\d+ - `)

// maxSaid bounds the kinds of lines that are remembered.
const maxSaid = 256

func (l *serverLog) say(level slog.Level, format string, v ...any) {
	kind := connection.ReplaceAllString(format, "")
	l.mu.Lock()
	last, again := l.said[kind]
	now := time.Now()
	if again && now.Sub(last) < time.Minute {
		l.mu.Unlock()
		return
	}
	if len(l.said) >= maxSaid {
		clear(l.said)
	}
	l.said[kind] = now
	l.mu.Unlock()
	text := fmt.Sprintf(format, v...)
	switch low := strings.ToLower(text); {
	case strings.Contains(low, "authentication"), strings.Contains(low, "authorization"):
		text += " (a node was refused that does not have this cluster's secret: see cluster.secret_file)"
	case strings.Contains(low, "cluster name"):
		text += " (nodes of one cluster have the same cluster.name)"
	case strings.Contains(low, "tls") && !strings.Contains(low, "timeout"):
		text += " (all nodes need cluster.tls, with certificates of one authority)"
	}
	l.log.Log(context.Background(), level, "routes: "+text)
}

// Noticef is for what is of interest to developers only.
func (l *serverLog) Noticef(format string, v ...any) { l.say(slog.LevelDebug, format, v...) }

// Warnf passes on a warning.
func (l *serverLog) Warnf(format string, v ...any) {
	if strings.HasPrefix(format, "Plaintext passwords") {
		return // they are made by this process, or a digest of the secret
	}
	if strings.Contains(format, "DO NOT USE IN PRODUCTION") {
		return // MutualTLS verifies the chain itself
	}
	l.say(slog.LevelWarn, format, v...)
}

// Fatalf passes on why the server gives up; the process goes on.
func (l *serverLog) Fatalf(format string, v ...any) { l.say(slog.LevelError, format, v...) }

// Errorf passes on an error; that a peer cannot be reached yet is none.
func (l *serverLog) Errorf(format string, v ...any) {
	level := slog.LevelWarn
	if strings.Contains(format, "Error trying to connect to route") {
		level = slog.LevelDebug
	}
	l.say(level, format, v...)
}

// Debugf and Tracef are off.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef is off.
func (l *serverLog) Tracef(string, ...any) {}
