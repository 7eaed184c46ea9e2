package invalidation

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// View is what a log of purges said at the moment of Inspect.
type View struct {
	n *Node
	// Unusable says why the log cannot be used, nil when it can. Then nothing that
	// is stored beside it is valid, and the next start begins a new log.
	Unusable error
}

// Inspect reads the log in dir, which may be in use, and changes nothing. mark is
// the file that Options.Mark names. The error is that of the device.
func Inspect(dir, mark string) (*View, error) {
	v := &View{n: &Node{o: Options{MaxScopes: defaultMaxScopes, Recent: 1, Mark: mark, Now: time.Now}}}
	v.n.reset()
	f, err := os.Open(filepath.Join(dir, logName))
	if errors.Is(err, fs.ErrNotExist) {
		v.Unusable = errors.New("there is no log of purges")
		return v, nil
	}
	if err != nil {
		return nil, fmt.Errorf("cannot read the log of purges: %w", err)
	}
	defer f.Close()
	_, err = v.n.load(f)
	switch {
	case errors.Is(err, errUnusable):
		v.Unusable = err
	case err != nil:
		return nil, fmt.Errorf("cannot read the log of purges: %w", err)
	case !v.n.markFits():
		v.Unusable = errors.New("the log of purges and what is stored were not written together")
	}
	return v, nil
}

// Check reports whether an object may be used, as Node.Check does.
func (v *View) Check(s *Subject) Verdict {
	if v.Unusable != nil || s.Incarnation != v.n.Incarnation() {
		return Invalid
	}
	verdict, _ := v.n.table.check(s)
	return verdict
}
