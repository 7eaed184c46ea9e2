package trial

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
)

// place is where the programs of one run listen and what they may write to.
type place struct {
	dir    string // of this run alone
	weir   string // address
	admin  string
	origin string
}

// base is the address that visitors use.
func (p place) base() string { return "http://" + p.weir }

func newPlace(dir string) (place, error) {
	p := place{dir: dir}
	for _, a := range []*string{&p.weir, &p.admin, &p.origin} {
		address, err := freeAddress()
		if err != nil {
			return p, err
		}
		*a = address
	}
	return p, os.MkdirAll(dir, 0o750)
}

// configuration is a configuration file as the README or a recipe has it.
type configuration struct {
	name string // as in the report
	text string
}

// readConfigurations returns the README's configuration and the recipe of an application.
func readConfigurations(root, recipe string) ([]configuration, error) {
	readme, err := os.ReadFile(filepath.Join(root, "README.md"))
	if err != nil {
		return nil, fmt.Errorf("cannot read the README: %w", err)
	}
	_, rest, ok := strings.Cut(string(readme), "```yaml\n")
	text, _, closed := strings.Cut(rest, "```\n")
	if !ok || !closed {
		return nil, fmt.Errorf("README.md has no configuration between ```yaml and ```")
	}
	all := []configuration{{"README", text}}
	if recipe == "" {
		return all, nil
	}
	b, err := os.ReadFile(filepath.Join(root, "configs", "examples", recipe))
	if err != nil {
		return nil, fmt.Errorf("cannot read the recipe: %w", err)
	}
	return append(all, configuration{"recipe", string(b)}), nil
}

// at returns the text with the addresses and the path of p, and no wait before the
// drain. Nothing else of it is changed.
func (c configuration) at(p place) (string, error) {
	text := c.text
	for _, r := range [][2]string{
		{"listen: 127.0.0.1:8080\n", "listen: " + p.weir + "\nadmin: {listen: \"" + p.admin + "\"}\ntimeouts: {lame_duck: 0s}\n"},
		{"path: ./weir-data", "path: " + filepath.Join(p.dir, "weir-data")},
		{"http://127.0.0.1:9000", "http://" + p.origin},
	} {
		if strings.Count(text, r[0]) != 1 {
			return "", fmt.Errorf("the configuration %s holds %q %d times, want once", c.name, r[0], strings.Count(text, r[0]))
		}
		text = strings.Replace(text, r[0], r[1], 1)
	}
	return text, nil
}

// startWeir starts weir with a configuration and waits until it is ready.
func startWeir(ctx context.Context, binary string, c configuration, p place) (*process, error) {
	text, err := c.at(p)
	if err != nil {
		return nil, err
	}
	file := filepath.Join(p.dir, "weir.yaml")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		return nil, fmt.Errorf("cannot write the configuration: %w", err)
	}
	w, err := command{name: "weir", args: []string{binary, "serve", "-c", file}}.start(ctx, p.dir)
	if err != nil {
		return nil, err
	}
	err = w.answers(ctx, func(ctx context.Context) error {
		_, err := fetch(ctx, "http://"+p.admin+"/readyz")
		return err
	})
	if err != nil {
		w.stop()
		return nil, err
	}
	return w, nil
}

// purge purges everything; what is purged softly is stale from then on.
func purge(ctx context.Context, p place, soft bool) error {
	body, err := json.Marshal(map[string]any{"all": true, "soft": soft})
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.admin+"/v1/purge", bytes.NewReader(body))
	if err != nil {
		return fmt.Errorf("cannot make a purge: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return fmt.Errorf("cannot purge: %w", err)
	}
	defer func() { _ = resp.Body.Close() }()
	got, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return fmt.Errorf("cannot purge: %w", err)
	}
	if resp.StatusCode != http.StatusOK {
		return fmt.Errorf("cannot purge: status %d, %s", resp.StatusCode, got)
	}
	return nil
}
