package bus

import (
	"context"
	"fmt"
	"log/slog"
	"maps"
	"regexp"
	"strings"
	"sync"
	"time"
)

// serverLog passes on what the embedded NATS server has to say, each kind of line
// at most once a minute.
type serverLog struct {
	log  *slog.Logger
	mu   sync.Mutex // protects said
	said map[string]time.Time
}

// connection is what the library puts before a line of one connection, with the
// address and a number that counts up.
var connection = regexp.MustCompile(`^\S+ - [a-z]+:\d+ - `)

// maxSaid bounds the kinds of lines that are kept: some have in them what the
// other end has sent.
const maxSaid = 64

func (l *serverLog) say(level slog.Level, format string, v ...any) {
	text := fmt.Sprintf(format, v...)
	// One kind is one reason, however many addresses it comes from.
	key := connection.ReplaceAllString(text, "")
	if hint := hintFor(key); hint != "" {
		key, text = hint, text+" ("+hint+")"
	}
	if l.first(level, key, time.Now()) {
		l.log.Log(context.Background(), level, "routes: "+text)
	}
}

// first tells whether nothing of the kind was said for a minute.
func (l *serverLog) first(level slog.Level, key string, now time.Time) bool {
	if !l.log.Enabled(context.Background(), level) {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if last, again := l.said[key]; again && now.Sub(last) < time.Minute {
		return false
	}
	maps.DeleteFunc(l.said, func(_ string, last time.Time) bool { return now.Sub(last) >= time.Minute })
	if len(l.said) >= maxSaid {
		return false
	}
	l.said[key] = now
	return true
}

// hintFor says what to do about a refusal.
func hintFor(text string) string {
	switch low := strings.ToLower(text); {
	case strings.Contains(low, "authentication"), strings.Contains(low, "authorization"):
		return "a node was refused that does not have this cluster's secret: see cluster.secret_file"
	case strings.Contains(low, "cluster name"):
		return "nodes of one cluster have the same cluster.name"
	case strings.Contains(low, "tls") && !strings.Contains(low, "timeout"):
		return "all nodes need cluster.tls, with certificates of one authority"
	}
	return ""
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
