package trial

import (
	"context"
	"net/url"
)

// express is the application in apps/express.js.
func express() *site {
	return &site{
		name: "Express", recipe: "express.yaml",
		pages:  []string{"/", "/account", "/cart", "/inbox", "/orders", "/offer", "/news"},
		public: []string{"/", "/news"},
		start:  startExpress,
		login: func(ctx context.Context, v *visitor) error {
			return v.postForRedirect(ctx, "/login", url.Values{"name": {v.name}})
		},
		logout: func(ctx context.Context, v *visitor) error { return v.postForRedirect(ctx, "/logout", nil) },
		who:    whoInField, private: privateInField,
		more: streams,
	}
}

func startExpress(ctx context.Context, b *bench, p place, _ []string) (*origin, error) {
	video, err := writeVideo(p.dir)
	if err != nil {
		return nil, err
	}
	return b.serve(ctx, p, command{
		name: "express", dir: b.Apps, args: []string{"node", "express.js"},
		env: []string{"PORT=" + port(p.origin), "VIDEO=" + video, "NODE_ENV=production"},
	}, "/-/count")
}

// serve starts an application that counts its pages under a path, and waits for it.
func (b *bench) serve(ctx context.Context, p place, c command, count string) (*origin, error) {
	proc, err := c.start(ctx, p.dir)
	if err != nil {
		return nil, err
	}
	made := madeAt("http://" + p.origin + count)
	err = proc.answers(ctx, func(ctx context.Context) error {
		_, err := made(ctx)
		return err
	})
	if err != nil {
		proc.stop()
		return nil, err
	}
	return &origin{process: proc, made: made}, nil
}
