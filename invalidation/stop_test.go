package invalidation

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// TestStopOnAFrozenDevice: a log that cannot be written keeps a stop waiting for a bounded time.
func TestStopOnAFrozenDevice(t *testing.T) {
	dir := t.TempDir()
	synctest.Test(t, func(t *testing.T) {
		thawed, writing := make(chan struct{}), make(chan struct{}, 1)
		frozen := false
		n, err := Open(Options{
			Node: "n1", Dir: filepath.Join(dir, "purges"), Mark: filepath.Join(dir, "PURGES"),
			write: func(f *os.File, b []byte) error {
				if frozen {
					writing <- struct{}{}
					<-thawed
				}
				_, err := f.Write(b)
				return err
			},
		})
		if err != nil {
			t.Fatal(err)
		}
		frozen = true
		go func() { _, _ = n.Purge([]Fact{{Kind: Tag, Scope: "t"}}) }()
		<-writing
		began := time.Now()
		err = n.Close()
		if err == nil || !strings.Contains(err.Error(), "device") || time.Since(began) > closePatience {
			t.Errorf("%v after %v", err, time.Since(began))
		}
		close(thawed)
	})
}
