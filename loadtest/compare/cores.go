package compare

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// cores says who runs where.
type cores struct {
	server, load []int
	all          []int
}

// chooseCores takes the first core that this process may use for the server and
// the second for the load and the origin.
func chooseCores() (cores, error) {
	var set unix.CPUSet
	if err := unix.SchedGetaffinity(0, &set); err != nil {
		return cores{}, fmt.Errorf("cannot ask which cores there are: %w", err)
	}
	var c cores
	for i := 0; len(c.all) < set.Count(); i++ {
		if set.IsSet(i) {
			c.all = append(c.all, i)
		}
	}
	if len(c.all) < 2 {
		return cores{}, errors.New("cannot compare on one core: one is for the server and one for the load")
	}
	c.server, c.load = c.all[:1], c.all[1:2]
	return c, nil
}

// pinned returns the command line that runs argv on the given cores. Threads
// and children inherit them, and Go programs take their number as GOMAXPROCS.
func pinned(on []int, argv ...string) []string {
	list := make([]string, len(on))
	for i, c := range on {
		list[i] = strconv.Itoa(c)
	}
	return append([]string{"taskset", "-c", strings.Join(list, ",")}, argv...)
}

// pinSelf moves every thread of this program to the given cores; threads that
// start later inherit them.
func pinSelf(on []int) error {
	var set unix.CPUSet
	for _, c := range on {
		set.Set(c)
	}
	tasks, err := os.ReadDir("/proc/self/task")
	if err != nil {
		return fmt.Errorf("cannot list the threads of this program: %w", err)
	}
	for _, task := range tasks {
		tid, err := strconv.Atoi(task.Name())
		if err != nil {
			continue
		}
		if err := unix.SchedSetaffinity(tid, &set); err != nil && !errors.Is(err, unix.ESRCH) {
			return fmt.Errorf("cannot keep this program off the server's core: %w", err)
		}
	}
	return nil
}
