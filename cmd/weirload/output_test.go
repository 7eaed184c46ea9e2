package main

import (
	"errors"
	"io"
	"os"
	"path/filepath"
	"syscall"
	"testing"
)

func writeText(text string) func(io.Writer) error {
	return func(w io.Writer) error {
		_, err := io.WriteString(w, text)
		return err
	}
}

func wantFile(t *testing.T, path, text string, mode os.FileMode) {
	t.Helper()
	b, err := os.ReadFile(path)
	info, err2 := os.Lstat(path)
	if err := errors.Join(err, err2); err != nil {
		t.Fatal(err)
	}
	if string(b) != text || info.Mode() != mode {
		t.Errorf("%s: %q with mode %v, want %q with %v", path, b, info.Mode(), text, mode)
	}
}

func TestToFileKeepsModesAndLinks(t *testing.T) {
	old := syscall.Umask(0o027)
	defer syscall.Umask(old)
	dir := t.TempDir()
	at := func(name string) string { return filepath.Join(dir, name) }
	if err := errors.Join(
		os.WriteFile(at("private"), []byte("a longer text than the new one"), 0o600),
		os.WriteFile(at("shared"), nil, 0o640),
		os.Chmod(at("shared"), 0o666), // more than the umask would leave
		os.Mkdir(at("below"), 0o755),
		os.Symlink("../shared", at("below/link")),
		os.Symlink("below/link", at("twice")),
		os.Symlink("below", at("dir")),
		os.Symlink("dir/new2", at("dangling")),
		os.Symlink("circle", at("circle")),
	); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		write, read string
		mode        os.FileMode
	}{
		{"new", "new", 0o640},
		{"private", "private", 0o600},
		{"twice", "shared", 0o666},
		{"dir/../shared", "shared", 0o666},
		{"dangling", "below/new2", 0o640},
	} {
		if err := toFile(at(tc.write), writeText(tc.write)); err != nil {
			t.Error(err)
		}
		wantFile(t, at(tc.read), tc.write, tc.mode)
	}
	for _, link := range []string{"twice", "below/link", "dangling"} {
		if info, err := os.Lstat(at(link)); err != nil || info.Mode()&os.ModeSymlink == 0 {
			t.Errorf("%s is no link any more: %v", link, err)
		}
	}
	for _, bad := range []string{"circle", "missing/x", "below"} {
		if err := toFile(at(bad), writeText("x")); err == nil {
			t.Errorf("%s: no error", bad)
		}
	}
	full := errors.New("full")
	if err := toFile(at("private"), func(w io.Writer) error { return errors.Join(writeText("half")(w), full) }); !errors.Is(err, full) {
		t.Error(err)
	}
	wantFile(t, at("private"), "private", 0o600)
	if left, _ := filepath.Glob(at(".weirload-*")); len(left) > 0 {
		t.Errorf("left behind: %v", left)
	}
}

func TestToFileWritesThroughWhatIsNoFile(t *testing.T) {
	fifo := filepath.Join(t.TempDir(), "fifo")
	if err := syscall.Mkfifo(fifo, 0o600); err != nil {
		t.Fatal(err)
	}
	got := make(chan string, 1)
	go func() {
		b, _ := os.ReadFile(fifo)
		got <- string(b)
	}()
	if err := toFile(fifo, writeText("through")); err != nil {
		t.Error(err)
	}
	if info, err := os.Lstat(fifo); err != nil || info.Mode()&os.ModeNamedPipe == 0 {
		t.Fatalf("it is no FIFO any more: %v", err) // nobody will write to it, so do not wait
	}
	if s := <-got; s != "through" {
		t.Errorf("%q came through", s)
	}
}
