package main

import (
	"context"
	"strings"
	"time"

	"weir/configs"
)

// reload takes over what a changed file says, or keeps everything as it is. In
// both cases the access log is opened again, since a program that renames it sends the
// same signal, and certificates are read again.
func (n *node) reload(ctx context.Context) {
	n.mu.Lock()
	defer n.mu.Unlock()
	var faults strings.Builder
	next, err := load(n.path, &faults)
	if err == nil {
		var needRestart []string
		next, needRestart = configs.Reloadable(n.cfg, next)
		if err = n.apply(ctx, next); err == nil {
			for _, line := range needRestart {
				n.log.Warn("reload: needs a restart", "change", line)
			}
			n.log.Info("reload: the new configuration is in effect", "path", n.path)
			n.loadedAt, n.lastError = time.Now(), ""
			n.metrics.Reloaded(n.loadedAt)
			return
		}
	}
	text := strings.TrimSpace(faults.String())
	if text == "" {
		text = err.Error()
	}
	n.reopen()
	n.lastError = text
	n.metrics.ReloadFailed()
	for line := range strings.Lines(text) {
		n.log.Error("reload: the new configuration has faults; the old one stays in effect", "fault", strings.TrimSpace(line))
	}
}

func (n *node) apply(ctx context.Context, next *configs.Config) error {
	data, err := n.dataConfig(next)
	if err != nil {
		return err
	}
	if err := n.handler.SetTokens(adminTokens(next)); err != nil {
		return err
	}
	if err := n.proxy.SetConfig(data); err != nil {
		return err
	}
	n.level.Set(next.Log.Level)
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	if accessTarget(n.cfg.AccessLog) != accessTarget(next.AccessLog) {
		err = n.accessLog.SetTarget(ctx, accessTarget(next.AccessLog))
	} else {
		err = n.accessLog.Reopen(ctx)
	}
	if err != nil {
		// The data plane is what counts; the log keeps its old target.
		n.log.Error("reload: the access log stays where it was", "error", err)
	}
	if err := n.tiers.SetPolicies(policyStorage(next)); err != nil {
		n.log.Error("reload: the disk tier keeps to what was promised before", "error", err)
	}
	n.updateListeners(next)
	n.cfg = next
	return nil
}

// reopen opens again and reads again what the running configuration names.
func (n *node) reopen() {
	n.reopenLog()
	n.updateListeners(n.cfg)
}

// reopenLog opens the access log again, for a program that has renamed it.
func (n *node) reopenLog() {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	if err := n.accessLog.Reopen(ctx); err != nil {
		n.log.Error("the access log stays where it was", "error", err)
	}
}

// updateListeners gives the sockets what may change while they are open. The
// listeners of next are those of the sockets, in their order: configs.Reloadable
// sees to that.
func (n *node) updateListeners(next *configs.Config) {
	for i, l := range n.listeners {
		l.SetTrusted(next.TrustedProxies)
		pair := next.Listen[i].TLS
		if pair == nil {
			continue
		}
		if err := l.SetCertificate(pair.Cert, pair.Key); err != nil {
			n.log.Error("reload: the old certificate stays in use", "listener", l.Addr().String(),
				"asked_for", pair.Cert, "error", err)
		}
	}
}
