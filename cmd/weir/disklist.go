package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"path"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/invalidation"
	"weir/tiers"
	"weir/tiers/disk"
)

// purgeView says of objects on disk whether they were purged. The log of purges
// lies in the tier's directory.
type purgeView struct{ log *invalidation.View }

// openPurges reads the log, and says so where it cannot be used.
func openPurges(i *disk.Inspection, stderr io.Writer) (*purgeView, error) {
	v, err := invalidation.Inspect(filepath.Join(i.Dir, "purges"), filepath.Join(i.Dir, "PURGES"))
	if err != nil {
		return nil, err
	}
	if v.Unusable != nil {
		fmt.Fprintf(stderr, "%s: %v: a start with this directory uses nothing of what it holds\n", i.Dir, v.Unusable)
	}
	return &purgeView{v}, nil
}

// inspect calls look with the directory of a disk tier and its purges.
func inspect(dir string, stderr io.Writer, look func(*disk.Inspection, *purgeView) error) (err error) {
	i, err := disk.Inspect(dir)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, i.Close()) }()
	p, err := openPurges(i, stderr)
	if err != nil {
		return err
	}
	return look(i, p)
}

// of holds the purges against an object. A vary record only leads to variants,
// which have purges of their own; what cannot be read says nothing.
func (p *purgeView) of(o *disk.StoredObject) invalidation.Verdict {
	if o.KeyError != nil {
		return invalidation.Valid
	}
	m, err := tiers.Describe(o.Meta)
	switch {
	case err != nil:
		return invalidation.Invalid
	case m.Kind == tiers.KindVary:
		return invalidation.Valid
	}
	return p.log.Check(&invalidation.Subject{Key: o.Key, Tags: m.Tags, Epoch: m.Epoch, Incarnation: m.Incarnation})
}

// purgedWord is empty for what no purge has touched.
func purgedWord(v invalidation.Verdict) string {
	switch v {
	case invalidation.Invalid:
		return "hard"
	case invalidation.Stale:
		return "soft"
	case invalidation.Valid:
	}
	return ""
}

// listed is a line of `weir disk ls --json`.
type listed struct {
	Key     string    `json:"key"`
	Policy  string    `json:"policy"`
	Body    int64     `json:"body_bytes"`
	Disk    int64     `json:"disk_bytes"`
	Stored  time.Time `json:"stored"`
	Expires time.Time `json:"expires"`
	Segment uint32    `json:"segment"`
	Offset  int64     `json:"offset"`
	// Purged is hard or soft; empty for what no purge has touched.
	Purged string `json:"purged,omitempty"`
	Error  string `json:"error,omitempty"`
}

type listFlags struct {
	json, fresh, stale, purged bool
	match, policy              string
	limit                      int64
}

func (f *listFlags) wants(o *disk.StoredObject, verdict invalidation.Verdict, now time.Time) bool {
	fresh := verdict == invalidation.Valid && o.Expires.After(now)
	switch {
	case f.fresh && !fresh, f.stale && (fresh || verdict == invalidation.Invalid), f.purged && verdict == invalidation.Valid, f.policy != "" && o.Class != f.policy:
		return false
	case f.match == "":
		return true
	case strings.ContainsAny(f.match, "*?["):
		// In a key a slash is a character like any other.
		ok, _ := path.Match("*"+strings.ReplaceAll(f.match, "/", "\x00")+"*", strings.ReplaceAll(o.Key, "/", "\x00"))
		return ok
	}
	return strings.Contains(o.Key, f.match)
}

func diskListCommand() *cobra.Command {
	var f listFlags
	c := &cobra.Command{
		Use: "ls DIR",

		SuggestFor: []string{"list", "dir", "find", "objects"},
		Short:      "List the objects of a disk tier, oldest segment first",
		Args:       dirArg,
		RunE: func(c *cobra.Command, args []string) error {
			if _, err := path.Match(f.match, ""); err != nil {
				return usage(c, "--match %q: %v; * is any text, ? one character, [a-z] one of these", f.match, err)
			}
			if f.fresh && (f.stale || f.purged) {
				return usage(c, "--fresh together with --stale or --purged leaves nothing; leave one away")
			}
			return inspect(args[0], c.ErrOrStderr(), func(i *disk.Inspection, p *purgeView) error {
				return listDisk(i, p, &f, c.OutOrStdout())
			})
		},
	}
	c.Flags().BoolVar(&f.json, "json", false, "print one JSON object a line")
	c.Flags().StringVar(&f.match, "match", "", "only keys that contain this; * is any text, ? one character")
	c.Flags().StringVar(&f.policy, "policy", "", "only objects of this policy")
	c.Flags().BoolVar(&f.fresh, "fresh", false, "only what is fresh and not purged")
	c.Flags().BoolVar(&f.stale, "stale", false, "only what is stale, by its age or by a soft purge")
	c.Flags().BoolVar(&f.purged, "purged", false, "only what was purged and has not been fetched again")
	c.Flags().Int64Var(&f.limit, "limit", 0, "stop after `N` objects; 0 is all")
	return c
}

// errEnough ends a walk that has found what was asked for.
var errEnough = errors.New("enough")

func listDisk(i *disk.Inspection, purges *purgeView, f *listFlags, out io.Writer) error {
	w := bufio.NewWriter(out)
	enc := json.NewEncoder(w)
	if !f.json {
		fmt.Fprintf(w, "%10s  %-16s  %-16s  %-12s  %s\n", "BODY", "STORED (UTC)", "STALE (UTC)", "POLICY", "KEY")
	}
	now, n := time.Now(), int64(0)
	err := i.Walk(true, nil, func(o disk.StoredObject) error {
		verdict := purges.of(&o)
		if !f.wants(&o, verdict, now) {
			return nil
		}
		if n++; f.limit > 0 && n > f.limit {
			return errEnough
		}
		if f.json {
			l := listed{Key: o.Key, Policy: o.Class, Body: o.Body, Disk: o.Disk, Stored: o.Stored, Expires: o.Expires, Segment: o.Segment, Offset: o.Offset, Purged: purgedWord(verdict)}
			if o.KeyError != nil {
				l.Error = o.KeyError.Error()
			}
			return enc.Encode(l)
		}
		policy := o.Class
		if policy == "" {
			policy = "-"
		}
		if o.KeyError != nil {
			_, err := fmt.Fprintf(w, "%10s  %-16s  %-16s  %-12s  segment %d at %d: %v\n", "?", "?", day(o.Expires), policy, o.Segment, o.Offset, o.KeyError)
			return err
		}
		stale := day(o.Expires)
		if word := purgedWord(verdict); word != "" {
			stale = "purged (" + word + ")"
		}
		_, err := fmt.Fprintf(w, "%10s  %-16s  %-16s  %-12s  %s\n", ibytes(o.Body), day(o.Stored), stale, policy, plain(o.Key))
		return err
	})
	if errors.Is(err, errEnough) {
		err = nil
	}
	return errors.Join(err, w.Flush())
}

// plain keeps whatever is in a key from playing with the terminal.
func plain(key string) string {
	q := strconv.Quote(key)
	return q[1 : len(q)-1]
}
