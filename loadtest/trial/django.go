package trial

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
)

// debianPython has Debian's Django; another Python in the PATH may not.
const debianPython = "/usr/bin/python3"

// django is the application in apps/django/shop.py.
func django() *site {
	return &site{
		name: "Django", recipe: "django.yaml",
		pages:  []string{"/", "/account", "/orders", "/greeting", "/news", "/about"},
		public: []string{"/news", "/about"},
		start:  startDjango,
		login:  djangoLogin,
		logout: func(ctx context.Context, v *visitor) error {
			_, err := v.do(ctx, "GET", "/logout", "", nil, nil)
			return err
		},
		who: whoInField, private: privateInField,
		more: djangoGuests,
	}
}

func djangoLogin(ctx context.Context, v *visitor) error {
	form, err := v.get(ctx, "/login", nil)
	if err != nil {
		return err
	}
	tokens := privateInField(form.body)
	if len(tokens) != 1 {
		return errors.New("the form has no token")
	}
	return v.postForRedirect(ctx, "/login", url.Values{"name": {v.name}, "csrfmiddlewaretoken": tokens})
}

func startDjango(ctx context.Context, b *bench, p place, names []string) (*origin, error) {
	data := filepath.Join(p.dir, "django")
	if err := os.MkdirAll(data, 0o750); err != nil {
		return nil, fmt.Errorf("cannot make a directory: %w", err)
	}
	shop := command{
		name: "django", dir: filepath.Join(b.Apps, "django"),
		env: []string{"PORT=" + port(p.origin), "DATA=" + data, "SITE=" + p.weir},
	}
	setup := shop
	setup.args = append([]string{debianPython, "shop.py", "setup"}, names...)
	if _, err := setup.run(ctx); err != nil {
		return nil, err
	}
	shop.args = []string{debianPython, "shop.py", "runserver"}
	return b.serve(ctx, p, shop, "/-/count")
}

// djangoGuests looks at pages that say who is logged in: guests without any cookie share them behind the recipe.
func djangoGuests(ctx context.Context, r *run) error {
	v, err := r.visitor("passerby")
	if err != nil {
		return err
	}
	before, err := r.app.made(ctx)
	if err != nil {
		return err
	}
	const times = 10
	for range times {
		if err := r.burst(ctx, "a guest without cookies", []*visitor{v}, []string{"/", "/greeting"}, nil); err != nil {
			return err
		}
	}
	after, err := r.app.made(ctx)
	if err != nil {
		return err
	}
	made := func(path string) int { return after[path] - before[path] }
	r.check(made("/greeting") <= 1, "a stated lifetime beside Vary: Cookie is kept for guests without cookies", fmt.Sprintf("made %d times for %d requests", made("/greeting"), times))
	if r.config.name == "recipe" {
		r.check(made("/") <= 1, "ttl.default is kept for guests without cookies", fmt.Sprintf("made %d times for %d requests", made("/"), times))
	}
	return nil
}
