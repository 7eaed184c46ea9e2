package main

import (
	"bufio"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/schollz/progressbar/v3"
	"github.com/spf13/cobra"

	"weir/invalidation"
	"weir/tiers/disk"
)

func diskCommand() *cobra.Command {
	c := &cobra.Command{
		Use:   "disk",
		Short: "Look into the directory of a disk tier, without changing anything",
		Long: "Look into the directory of a disk tier (tiers.disk.path). Nothing in it is changed, so a copy\n" +
			"or a file system that is mounted read-only will do. stat and ls also look at a directory that a\n" +
			"running weir has open; what they say is then of one moment.",
		Args: noArguments,
		RunE: func(c *cobra.Command, _ []string) error { return c.Help() },
	}
	c.AddCommand(diskStatCommand(), diskVerifyCommand(), diskListCommand())
	return c
}

// dirArg takes the one argument of these commands.
func dirArg(c *cobra.Command, args []string) error {
	if len(args) == 1 {
		return nil
	}
	return usage(c, "%s needs one directory, that of tiers.disk.path, and got %s", called(c), count(len(args), "argument"))
}

// bar shows on a terminal how far a walk over the segments has come.
type bar struct{ *progressbar.ProgressBar }

func newBar(c *cobra.Command, i *disk.Inspection, what string) bar {
	w := c.ErrOrStderr()
	f, ok := w.(*os.File)
	if !ok {
		return bar{}
	}
	if st, err := f.Stat(); err != nil || st.Mode()&os.ModeCharDevice == 0 {
		return bar{}
	}
	var total int64
	for _, s := range i.Segments {
		total += s.Bytes
	}
	return bar{progressbar.NewOptions64(total, progressbar.OptionSetWriter(w), progressbar.OptionShowBytes(true),
		progressbar.OptionSetDescription(what), progressbar.OptionThrottle(100*time.Millisecond), progressbar.OptionClearOnFinish(),
		progressbar.OptionUseIECUnits(true))}
}

func (b bar) at(done int64) {
	if b.ProgressBar != nil {
		_ = b.Set64(done) // it only draws
	}
}

func (b bar) clear() {
	if b.ProgressBar != nil {
		_ = b.Clear()
	}
}

// sum is a number of objects and what they take on disk.
type sum struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

func (s *sum) add(bytes int64) {
	s.Objects++
	s.Bytes += bytes
}

// diskStat is what `weir disk stat --json` prints.
type diskStat struct {
	Dir   string `json:"dir"`
	Store string `json:"store"`
	InUse bool   `json:"in_use"`
	Clean bool   `json:"clean_stop"`

	Segments     int   `json:"segments"`
	SegmentBytes int64 `json:"segment_bytes"`
	Unsealed     int   `json:"unsealed_segments"`
	Unreadable   int   `json:"unreadable_segments"`
	First        int64 `json:"first_segment"`
	Last         int64 `json:"last_segment"`
	Aside        int   `json:"set_aside"`

	Live  sum `json:"live"`
	Fresh sum `json:"fresh"`
	Stale sum `json:"stale"`
	// Purged is what is never used again; it is neither fresh nor stale.
	Purged sum `json:"purged"`
	// DeadBytes are those of replaced and deleted objects, of aborted fills, and of lists and headers.
	DeadBytes int64 `json:"dead_bytes"`

	Index      string       `json:"index"`
	IndexBytes int64        `json:"index_bytes"`
	IndexError string       `json:"index_error,omitempty"`
	Policies   []policyStat `json:"policies"`
}

type policyStat struct {
	Policy string `json:"policy"`
	sum
	Fresh      sum       `json:"fresh"`
	StaleFirst time.Time `json:"first_stale"`
	StaleLast  time.Time `json:"last_stale"`
}

func diskStatCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "stat DIR",

		SuggestFor: []string{"info", "stats", "status", "du", "df"},
		Short:      "Say what a disk tier holds: segments, objects by policy, dead bytes, the index",
		Args:       dirArg,
		RunE: func(c *cobra.Command, args []string) error {
			return inspect(args[0], c.ErrOrStderr(), func(i *disk.Inspection, p *purgeView) error {
				b := newBar(c, i, "reading heads")
				st, err := statDisk(i, p, b.at)
				b.clear()
				switch {
				case err != nil:
					return err
				case asJSON:
					return printJSON(c.OutOrStdout(), st)
				}
				return st.print(c.OutOrStdout())
			})
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func printJSON(w io.Writer, v any) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(v)
}

func statDisk(i *disk.Inspection, purges *purgeView, progress func(int64)) (diskStat, error) {
	st := diskStat{
		Dir: i.Dir, Store: hex.EncodeToString(i.ID[:]), InUse: i.InUse, Clean: i.Clean, Segments: len(i.Segments),
		Aside: len(i.Aside), Index: i.Index, IndexBytes: i.IndexBytes, Policies: []policyStat{},
	}
	if i.IndexError != nil {
		st.IndexError = i.IndexError.Error()
	}
	for n, s := range i.Segments {
		if n == 0 {
			st.First = int64(s.Number)
		}
		st.Last = int64(s.Number)
		st.SegmentBytes += s.Bytes
		if s.Err != nil {
			st.Unreadable++
		} else if !s.Sealed {
			st.Unsealed++
		}
	}
	policies := map[string]*policyStat{}
	now := time.Now()
	err := i.Walk(true, progress, func(o disk.StoredObject) error {
		p := policies[o.Class]
		if p == nil {
			p = &policyStat{Policy: o.Class, StaleFirst: o.Expires, StaleLast: o.Expires}
			policies[o.Class] = p
		}
		st.Live.add(o.Disk)
		p.add(o.Disk)
		switch verdict := purges.of(&o); {
		case verdict == invalidation.Invalid:
			st.Purged.add(o.Disk)
		case verdict == invalidation.Valid && o.Expires.After(now):
			st.Fresh.add(o.Disk)
			p.Fresh.add(o.Disk)
		default:
			st.Stale.add(o.Disk)
		}
		if o.Expires.Before(p.StaleFirst) {
			p.StaleFirst = o.Expires
		}
		if o.Expires.After(p.StaleLast) {
			p.StaleLast = o.Expires
		}
		return nil
	})
	for _, p := range policies {
		st.Policies = append(st.Policies, *p)
	}
	slices.SortFunc(st.Policies, func(a, b policyStat) int { return strings.Compare(a.Policy, b.Policy) })
	st.DeadBytes = max(st.SegmentBytes-st.Live.Bytes, 0)
	return st, err
}

func ibytes(n int64) string { return humanize.IBytes(uint64(max(n, 0))) }

func share(part, whole int64) string {
	if whole == 0 {
		return "0 %"
	}
	return fmt.Sprintf("%.1f %%", 100*float64(part)/float64(whole))
}

func (st diskStat) print(out io.Writer) error {
	w := bufio.NewWriter(out)
	state := "not closed: the process that had it open was killed, or the machine was"
	if st.Clean {
		state = "closed in order"
	}
	if st.InUse {
		state = "in use by a running weir; the figures are of one moment"
	}
	fmt.Fprintf(w, "%s, %s\n", st.Dir, state)
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	fmt.Fprintf(t, "  store\t%s\n", st.Store)
	fmt.Fprintf(t, "  segments\t%s, %s", count(st.Segments, "file"), ibytes(st.SegmentBytes))
	if st.Segments > 0 {
		fmt.Fprintf(t, ", number %d to %d", st.First, st.Last)
	}
	if st.Unsealed > 0 {
		fmt.Fprintf(t, ", %d without a list of their records", st.Unsealed)
	}
	fmt.Fprintln(t)
	if st.Unreadable > 0 {
		fmt.Fprintf(t, "  unreadable\t%s; weir disk verify says why\n", count(st.Unreadable, "segment"))
	}
	if st.Aside > 0 {
		fmt.Fprintf(t, "  set aside\t%s, removed when space is needed\n", count(st.Aside, "file"))
	}
	fmt.Fprintf(t, "  objects\t%s, %s, %s of the segments\n", humanize.Comma(st.Live.Objects), ibytes(st.Live.Bytes), share(st.Live.Bytes, st.SegmentBytes))
	fmt.Fprintf(t, "    fresh\t%s, %s\n", humanize.Comma(st.Fresh.Objects), ibytes(st.Fresh.Bytes))
	fmt.Fprintf(t, "    stale\t%s, %s\n", humanize.Comma(st.Stale.Objects), ibytes(st.Stale.Bytes))
	if st.Purged.Objects > 0 {
		fmt.Fprintf(t, "    purged\t%s, %s\n", humanize.Comma(st.Purged.Objects), ibytes(st.Purged.Bytes))
	}
	fmt.Fprintf(t, "  dead\t%s, replaced, deleted or given up half way\n", ibytes(st.DeadBytes))
	switch {
	case st.IndexError == "":
		fmt.Fprintf(t, "  index\t%s, %s\n", st.Index, ibytes(st.IndexBytes))
	case st.InUse:
		fmt.Fprintf(t, "  index\t%s, %s; not looked at, the process has it open\n", st.Index, ibytes(st.IndexBytes))
	default:
		fmt.Fprintf(t, "  index\tnot usable, the next start builds it again: %s\n", st.IndexError)
	}
	_ = t.Flush() // to w, which tells at the end
	if len(st.Policies) > 0 {
		t = tabwriter.NewWriter(w, 0, 0, 3, ' ', tabwriter.AlignRight)
		fmt.Fprintln(t, "\n  policy\tobjects\tbytes\tfresh\tfirst stale\tlast stale\t")
		for _, p := range st.Policies {
			name := p.Policy
			if name == "" {
				name = "(none)"
			}
			fmt.Fprintf(t, "  %s\t%s\t%s\t%s\t%s\t%s\t\n", name, humanize.Comma(p.Objects), ibytes(p.Bytes), ibytes(p.Fresh.Bytes), day(p.StaleFirst), day(p.StaleLast))
		}
		_ = t.Flush()
	}
	return w.Flush()
}

func day(t time.Time) string { return t.UTC().Format("2006-01-02 15:04") }

// verified is what `weir disk verify --json` prints.
type verified struct {
	Dir          string      `json:"dir"`
	Segments     int64       `json:"segments"`
	Unsealed     int64       `json:"unsealed_segments"`
	Records      int64       `json:"records"`
	Objects      int64       `json:"objects"`
	IndexEntries int64       `json:"index_entries"`
	Bytes        int64       `json:"bytes"`
	Faults       []diskFault `json:"faults"`
}

type diskFault struct {
	File   string `json:"file"`
	Offset int64  `json:"offset"`
	Key    string `json:"key,omitempty"`
	What   string `json:"what"`
}

func diskVerifyCommand() *cobra.Command {
	var asJSON bool
	c := &cobra.Command{
		Use: "verify DIR",

		SuggestFor: []string{"check", "fsck", "test", "scrub"},
		Short:      "Read every byte of a disk tier and hold every checksum; exit 0 only when all is whole",
		Long: "Read every byte of a disk tier, hold every checksum, and hold index and segments against each\n" +
			"other. Each fault is named with its file, its place and the key concerned. Damage is never served:\n" +
			"weir checks what it reads, so a fault here is a miss there. Not for a directory that is in use.",
		Args: dirArg,
		RunE: func(c *cobra.Command, args []string) (err error) {
			i, err := disk.Inspect(args[0])
			if err != nil {
				return err
			}
			defer func() { err = errors.Join(err, i.Close()) }()
			if i.InUse {
				return fmt.Errorf("%s is in use by a running weir, which writes to it: stop that first, or verify a copy", args[0])
			}
			res := verified{Dir: i.Dir, Faults: []diskFault{}}
			b := newBar(c, i, "verifying")
			v, err := i.Verify(b.at, func(f disk.Fault) {
				if asJSON {
					res.Faults = append(res.Faults, diskFault(f))
					return
				}
				b.clear()
				fmt.Fprintln(c.OutOrStdout(), f)
			})
			b.clear()
			if err != nil {
				return err
			}
			res.Segments, res.Unsealed, res.Records, res.Objects = v.Segments, v.Unsealed, v.Records, v.Objects
			res.IndexEntries, res.Bytes = v.IndexEntries, v.Bytes
			if asJSON {
				err = printJSON(c.OutOrStdout(), res)
			} else {
				fmt.Fprintf(c.OutOrStdout(), "%s: %s, %s, %s, %s: %s\n", i.Dir, count(int(v.Segments), "segment"),
					count(int(v.Records), "record"), count(int(v.Objects), "object"), ibytes(v.Bytes), faultCount(v.Faults))
			}
			if err == nil && v.Faults > 0 {
				err = silent{errors.New("faults")}
			}
			return err
		},
	}
	c.Flags().BoolVar(&asJSON, "json", false, "print one JSON object")
	return c
}

func faultCount(n int64) string {
	if n == 0 {
		return "all whole"
	}
	return count(int(n), "fault")
}
