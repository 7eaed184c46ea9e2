package chaos

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"
)

func notRoot() bool { return os.Geteuid() != 0 }

// fill takes every byte of the file system that is or becomes free, until the returned function is called.
func (b *bench) fill() (free func(), err error) {
	path := filepath.Join(b.place.disk(), "foreign")
	f, err := os.Create(path)
	if err != nil {
		return nil, fmt.Errorf("cannot fill the file system: %w", err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	full, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		piece := make([]byte, 64<<10)
		first := true
		for ctx.Err() == nil {
			_, err := f.Write(piece)
			switch {
			case err == nil:
				continue
			case len(piece) > 4096:
				piece = piece[:4096]
				continue
			case first:
				close(full)
				first = false
			}
			sleep(ctx, time.Millisecond)
		}
		if first {
			close(full)
		}
	}()
	<-full
	return func() {
		cancel()
		<-done
		_ = f.Close()
		_ = os.Remove(path)
	}, nil
}

func full(ctx context.Context, b *bench, _ *draw) error {
	var free func()
	filled := until(ctx, func() (ok bool) {
		var err error
		free, err = b.fill()
		return err == nil
	})
	if filled {
		<-ctx.Done()
		free()
	}
	return nil
}

// until tries until it works, or ctx ends: another fault may be in the way for a while.
func until(ctx context.Context, works func() bool) bool {
	for !works() {
		if ctx.Err() != nil {
			return false
		}
		sleep(ctx, 10*time.Millisecond)
	}
	return true
}

func inodes(ctx context.Context, b *bench, _ *draw) error {
	dir := filepath.Join(b.place.disk(), "inodes")
	if !until(ctx, func() bool { return os.MkdirAll(dir, 0o755) == nil }) {
		return nil // another fault was in the way all the time
	}
	defer func() { _ = os.RemoveAll(dir) }()
	for i := 0; ctx.Err() == nil; i++ {
		f, err := os.Create(filepath.Join(dir, fmt.Sprint(i)))
		if err != nil {
			sleep(ctx, 2*time.Millisecond)
			continue
		}
		_ = f.Close()
	}
	return nil
}

func vanish(ctx context.Context, b *bench, d *draw) error {
	rng := d.rng()
	b.weir.vanished.Store(true)
	for ctx.Err() == nil {
		path := filepath.Join(b.place.cache(), "segments")
		if rng.IntN(3) == 0 {
			path = b.place.cache()
		}
		_ = os.RemoveAll(path) // weir may write into it at the same time
		sleep(ctx, time.Duration(1000+rng.IntN(1500))*time.Millisecond)
	}
	return nil
}

func chmod(ctx context.Context, b *bench, d *draw) error {
	dir := b.place.cache()
	if d.who%2 == 0 {
		dir = filepath.Join(dir, "segments")
	}
	var info fs.FileInfo
	changed := until(ctx, func() bool {
		var err error
		info, err = os.Stat(dir)
		return err == nil && os.Chmod(dir, 0) == nil
	})
	if !changed {
		return nil
	}
	<-ctx.Done()
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), quietWithin)
	defer cancel()
	back := until(ctx, func() bool {
		err := os.Chmod(dir, info.Mode().Perm())
		return err == nil || os.IsNotExist(err)
	})
	if !back {
		return fmt.Errorf("cannot give %s its permissions back", dir)
	}
	return nil
}

// corrupt changes single bytes of segment files now and then.
func corrupt(ctx context.Context, b *bench, d *draw) error {
	rng := d.rng()
	for ctx.Err() == nil {
		var paths []string
		_ = filepath.WalkDir(filepath.Join(b.place.cache(), "segments"), func(path string, e fs.DirEntry, err error) error {
			if err == nil && !e.IsDir() {
				paths = append(paths, path)
			}
			return nil
		})
		if len(paths) > 0 {
			damage(paths[rng.IntN(len(paths))], rng.Uint64())
		}
		sleep(ctx, 40*time.Millisecond)
	}
	return nil
}

// damage changes a byte of the file.
func damage(path string, where uint64) {
	f, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return // it was evicted
	}
	defer func() { _ = f.Close() }()
	info, err := f.Stat()
	if err != nil || info.Size() == 0 {
		return
	}
	at := int64(where % uint64(info.Size()))
	var one [1]byte
	if _, err := f.ReadAt(one[:], at); err == nil {
		one[0] ^= 0x41
		_, _ = f.WriteAt(one[:], at)
	}
}

// fullStart kills weir, or stops it, fills the file system, and starts it. It has to answer without its disk.
func fullStart(ctx context.Context, b *bench, d *draw) error {
	how := []syscall.Signal{syscall.SIGKILL, syscall.SIGTERM}[d.who%2]
	var free func()
	return b.startOn(ctx, func() (err error) {
		if d.who < 3 {
			b.weir.kill(how)
		}
		if free, err = b.fill(); err != nil {
			return err
		}
		if d.who >= 3 {
			sleep(ctx, 500*time.Millisecond)
			b.weir.kill(how)
		}
		return nil
	}, func() error { free(); return nil })
}

func readOnlyStart(ctx context.Context, b *bench, _ *draw) error {
	return b.startOn(ctx, func() error {
		b.weir.kill(syscall.SIGTERM)
		// The kernel refuses while somebody writes, such as another fault.
		err := b.place.readOnly(true)
		for errors.Is(err, syscall.EBUSY) && ctx.Err() == nil {
			sleep(ctx, time.Millisecond)
			err = b.place.readOnly(true)
		}
		if errors.Is(err, syscall.EBUSY) {
			return nil // weir just starts
		}
		return err
	}, func() error { return b.place.readOnly(false) })
}

// startOn starts weir on a disk that spoil, which ends weir, has made unusable, and mends the disk when ctx ends. A weir
// that did not get ready is started again then.
func (b *bench) startOn(ctx context.Context, spoil, mend func() error) error {
	over := b.weir.disturb()
	defer over()
	if err := spoil(); err != nil {
		err = fmt.Errorf("cannot spoil the disk: %w", err)
		return errors.Join(err, b.restart(context.WithoutCancel(ctx), syscall.SIGKILL))
	}
	err := b.begin(ctx)
	if err == nil {
		over()
		<-ctx.Done()
	}
	if back := mend(); back != nil {
		return fmt.Errorf("cannot mend the disk: %w", back)
	}
	if err != nil {
		return b.restart(context.WithoutCancel(ctx), syscall.SIGKILL)
	}
	return nil
}
