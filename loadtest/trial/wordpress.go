package trial

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"html"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// wordpress is Debian's package with the files of apps/wordpress, behind an Apache and a MariaDB of its own.
func wordpress() *site {
	return &site{
		name: "WordPress", recipe: "wordpress.yaml",
		pages:  []string{"/", "/long-read/", "/feed/"},
		public: []string{"/", "/long-read/"},
		start:  startWordPress,
		login:  wordpressLogin,
		logout: wordpressLogout,
		who:    wordpressWho, private: wordpressPrivate,
		constant: []string{"wordpress_test_cookie"},
		more:     wordpressMore,
	}
}

var (
	displayName = regexp.MustCompile(`<span class="display-name">([^<]*)</span>`)
	nonce       = regexp.MustCompile(`_wpnonce=([0-9a-f]{10})|"nonce":"([0-9a-f]{10})"`)
	logoutLink  = regexp.MustCompile(`href="([^"]*action=logout[^"]*)"`)
)

// wordpressWho reads the bar that logged-in visitors have on top of every page.
func wordpressWho(body []byte) (string, bool) {
	if !bytes.Contains(body, []byte("</html>")) {
		return "", false
	}
	if m := displayName.FindSubmatch(body); m != nil {
		return string(m[1]), true
	}
	return guestName, true
}

// wordpressPrivate returns nonces of pages for who is logged in; guests have theirs in common.
func wordpressPrivate(body []byte) []string {
	if name, ok := wordpressWho(body); !ok || name == guestName {
		return nil
	}
	var out []string
	for _, m := range nonce.FindAllSubmatch(body, -1) {
		out = append(out, string(m[1])+string(m[2]))
	}
	return out
}

func wordpressLogin(ctx context.Context, v *visitor) error {
	v.setCookie("wordpress_test_cookie", "WP%20Cookie%20check")
	return v.postForRedirect(ctx, "/wp-login.php", url.Values{"log": {v.name}, "pwd": {v.name}, "testcookie": {"1"}, "wp-submit": {"Log In"}})
}

func wordpressLogout(ctx context.Context, v *visitor) error {
	a, err := v.get(ctx, "/wp-admin/profile.php", nil)
	if err != nil {
		return err
	}
	m := logoutLink.FindSubmatch(a.body)
	if m == nil {
		return fmt.Errorf("the profile has no link to log out: status %d", a.status)
	}
	u, err := url.Parse(html.UnescapeString(string(m[1])))
	if err != nil {
		return fmt.Errorf("cannot read the link to log out: %w", err)
	}
	a, err = v.do(ctx, http.MethodGet, u.RequestURI(), "", nil, nil)
	if err != nil {
		return err
	}
	if a.status != http.StatusFound {
		return fmt.Errorf("logging out: status %d", a.status)
	}
	return nil
}

// blog is what the parts of one WordPress have in common.
type blog struct {
	dir   string // the installation
	env   []string
	count string // file
}

func blogAt(p place) blog {
	b := blog{dir: filepath.Join(p.dir, "wordpress"), count: filepath.Join(p.dir, "count")}
	b.env = []string{
		"TRIAL_DIR=" + b.dir, "TRIAL_ORIGIN=" + p.origin, "TRIAL_SITE=" + p.weir,
		"TRIAL_SOCKET=" + filepath.Join(p.dir, "db.sock"), "TRIAL_COUNT=" + b.count,
	}
	return b
}

// php runs a script of the installation.
func (b blog) php(ctx context.Context, args ...string) ([]byte, error) {
	return command{name: args[0], dir: b.dir, env: b.env, args: append([]string{"php"}, args...)}.run(ctx)
}

func startWordPress(ctx context.Context, b *bench, p place, names []string) (*origin, error) {
	w := blogAt(p)
	if err := w.install(ctx, filepath.Join(b.Apps, "wordpress")); err != nil {
		return nil, err
	}
	db, err := startMariaDB(ctx, p)
	if err != nil {
		return nil, err
	}
	if _, err := w.php(ctx, append([]string{"setup.php", "trialadmin"}, names...)...); err != nil {
		db.stop()
		return nil, err
	}
	proc, err := w.startApache(ctx, p)
	if err != nil {
		db.stop()
		return nil, err
	}
	return &origin{process: proc, others: []*process{db}, made: w.made}, nil
}

// startApache starts the web server. Its workers run as www-data if it is started by root.
func (b blog) startApache(ctx context.Context, p place) (*process, error) {
	modules, err := filepath.Glob("/usr/lib/apache2/modules/libphp*.so")
	if err != nil || len(modules) == 0 {
		return nil, fmt.Errorf("cannot find PHP for Apache: %w", errors.Join(err, os.ErrNotExist))
	}
	proc, err := command{
		name: "apache", dir: b.dir, env: append(b.env, "TRIAL_PHP="+modules[0]),
		args: []string{"/usr/sbin/apache2", "-f", filepath.Join(b.dir, "apache.conf"), "-D", "FOREGROUND"},
	}.start(ctx, p.dir)
	if err != nil {
		return nil, err
	}
	err = proc.answers(ctx, func(ctx context.Context) error {
		_, err := fetch(ctx, "http://"+p.origin+"/readme.html")
		return err
	})
	if err != nil {
		proc.stop()
		return nil, err
	}
	return proc, nil
}

// install copies Debian's WordPress, since it finds its configuration beside itself, and adds the trial's files.
func (b blog) install(ctx context.Context, from string) error {
	// What the package links to and is not installed does not matter here.
	_, err := command{name: "cp", args: []string{"cp", "-rL", "/usr/share/wordpress", b.dir}}.run(ctx)
	if _, statErr := os.Stat(filepath.Join(b.dir, "wp-settings.php")); statErr != nil {
		return errors.Join(statErr, err)
	}
	plugins := filepath.Join(b.dir, "wp-content", "mu-plugins")
	if err := os.MkdirAll(plugins, 0o755); err != nil {
		return fmt.Errorf("cannot make a directory: %w", err)
	}
	for file, dir := range map[string]string{"wp-config.php": b.dir, "apache.conf": b.dir, "setup.php": b.dir, "edit.php": b.dir, "trial.php": plugins} {
		text, err := os.ReadFile(filepath.Join(from, file))
		if err != nil {
			return fmt.Errorf("cannot read a file of the trial: %w", err)
		}
		if err := os.WriteFile(filepath.Join(dir, file), text, 0o644); err != nil {
			return fmt.Errorf("cannot install a file of the trial: %w", err)
		}
	}
	// The web server and the scripts write to these, and may be different users.
	for _, file := range []string{b.count, b.count + ".purges"} {
		if err := errors.Join(os.WriteFile(file, nil, 0o600), os.Chmod(file, 0o666)); err != nil {
			return fmt.Errorf("cannot make a file to count in: %w", err)
		}
	}
	return nil
}

// made counts the lines that the trial's plugin wrote.
func (b blog) made(context.Context) (map[string]int, error) {
	text, err := os.ReadFile(b.count)
	if err != nil {
		return nil, fmt.Errorf("cannot read what was counted: %w", err)
	}
	made := make(map[string]int)
	for line := range strings.Lines(string(text)) {
		made[strings.TrimSpace(line)]++
	}
	return made, nil
}

// startMariaDB starts a database that only listens on a socket. It does not run as root.
func startMariaDB(ctx context.Context, p place) (*process, error) {
	data := filepath.Join(p.dir, "db")
	if err := os.MkdirAll(data, 0o750); err != nil {
		return nil, fmt.Errorf("cannot make a directory: %w", err)
	}
	var as []string
	if os.Getuid() == 0 {
		u, err := user.Lookup("mysql")
		if err != nil {
			return nil, fmt.Errorf("the database's user is missing: %w", err)
		}
		uid, err1 := strconv.Atoi(u.Uid)
		gid, err2 := strconv.Atoi(u.Gid)
		if err := errors.Join(err1, err2, os.Chown(data, uid, gid), os.Chmod(p.dir, 0o777)); err != nil {
			return nil, fmt.Errorf("cannot give the database its directory: %w", err)
		}
		as = []string{"--user=mysql"}
	}
	install := []string{"mariadb-install-db", "--no-defaults", "--datadir=" + data, "--auth-root-authentication-method=normal", "--skip-test-db"}
	if _, err := (command{name: "mariadb-install-db", args: append(install, as...)}).run(ctx); err != nil {
		return nil, err
	}
	socket := filepath.Join(p.dir, "db.sock")
	server := []string{
		"/usr/sbin/mariadbd", "--no-defaults", "--datadir=" + data, "--socket=" + socket, "--skip-networking",
		"--pid-file=" + filepath.Join(data, "pid"), "--innodb-flush-log-at-trx-commit=0",
	}
	db, err := command{name: "mariadb", args: append(server, as...)}.start(ctx, p.dir)
	if err != nil {
		return nil, err
	}
	err = db.answers(ctx, func(ctx context.Context) error {
		return exec.CommandContext(ctx, "mariadb-admin", "--no-defaults", "--user=root", "--socket="+socket, "ping").Run()
	})
	if err != nil {
		db.stop()
		return nil, err
	}
	return db, nil
}

// wordpressMore checks comments, passwords, edits and purges, and runs two real browsers.
func wordpressMore(ctx context.Context, r *run) error {
	for _, f := range []func(context.Context, *run) error{comments, passwords, edits, browsers} {
		if err := f(ctx, r); err != nil {
			return err
		}
	}
	return nil
}

// comments has a guest leave a comment that waits for approval: the guest sees it, and nobody else.
func comments(ctx context.Context, r *run) error {
	author, err := r.visitor("author")
	if err != nil {
		return err
	}
	page, err := author.get(ctx, "/long-read/", nil)
	if err != nil {
		return err
	}
	m := regexp.MustCompile(`name='comment_post_ID' value='(\d+)'`).FindSubmatch(page.body)
	if m == nil {
		return errors.New("the post has no form for comments")
	}
	a, err := author.post(ctx, "/wp-comments-post.php", url.Values{
		"comment_post_ID": {string(m[1])}, "comment_parent": {"0"}, "comment": {"from " + author.name},
		"author": {author.name}, "email": {author.name + "@example.test"}, "wp-comment-cookies-consent": {"yes"},
	})
	if err != nil {
		return err
	}
	if a.status != http.StatusFound {
		return fmt.Errorf("the comment was not taken: status %d, %s", a.status, tail(a.body))
	}
	everybody := append(r.everybody(), author)
	if err := r.burst(ctx, "a comment that waits", everybody, []string{"/long-read/", "/"}, nil); err != nil {
		return err
	}
	own, err := author.do(ctx, http.MethodGet, "/long-read/", "", nil, nil)
	if err != nil {
		return err
	}
	r.check(bytes.Contains(own.body, []byte("from "+author.name)), "a guest sees the own comment that waits", own.header.Get("Cache-Status"))
	return nil
}

// passwords has a guest open a post with a password; others still have to give it.
func passwords(ctx context.Context, r *run) error {
	reader, err := r.visitor("reader")
	if err != nil {
		return err
	}
	form := strings.NewReader(url.Values{"post_password": {"sesame"}}.Encode())
	back := http.Header{"Referer": {r.place.base() + "/secret/"}}
	a, err := reader.do(ctx, http.MethodPost, "/wp-login.php?action=postpass", "application/x-www-form-urlencoded", form, back)
	if err != nil {
		return err
	}
	if a.status != http.StatusFound {
		return fmt.Errorf("the password was not taken: status %d", a.status)
	}
	const text = "behind the password"
	all := append(r.everybody(), reader)
	r.phase = "a post with a password"
	return together(all, func(v *visitor) error {
		a, err := v.do(ctx, http.MethodGet, "/secret/", "", nil, nil)
		if err != nil {
			return err
		}
		r.judge(v, http.MethodGet, "/secret/", a)
		sees := bytes.Contains(a.body, []byte(text))
		switch {
		case v == reader:
			r.check(sees, "who gave the password sees the post", a.header.Get("Cache-Status"))
		case sees:
			r.leak(v, http.MethodGet, "/secret/", a, "the post without its password")
		}
		return nil
	})
}

// edits changes the post. WordPress purges as the plugin Proxy Cache Purge does; guests see the new text at once.
// Behind the README's configuration, which allows PURGE to nobody, there is nothing stored either.
func edits(ctx context.Context, r *run) error {
	w := blogAt(r.place)
	guest := r.guests[0]
	sees := func(text string) (bool, string, error) {
		a, err := guest.do(ctx, http.MethodGet, "/long-read/", "", nil, nil)
		if err != nil {
			return false, "", err
		}
		return bytes.Contains(a.body, []byte(text)), a.header.Get("Cache-Status"), nil
	}
	if _, err := w.php(ctx, "edit.php", "edited text"); err != nil {
		return err
	}
	ok, said, err := sees("edited text")
	if err != nil {
		return err
	}
	r.check(ok, "guests see an edit at once", said)
	if _, err := w.php(ctx, "edit.php", "--theme"); err != nil {
		return err
	}
	_, said, err = sees("edited text")
	if err != nil {
		return err
	}
	r.check(!isHit(said), "X-Purge-Method: regex purges every page", said)
	purges, err := os.ReadFile(w.count + ".purges")
	if err != nil {
		return fmt.Errorf("cannot read what was purged: %w", err)
	}
	if r.config.name != "recipe" {
		return nil
	}
	for line := range strings.Lines(string(purges)) {
		line = strings.TrimSpace(line)
		r.check(strings.HasSuffix(line, " 200"), "a purge is carried out", line)
	}
	return nil
}
