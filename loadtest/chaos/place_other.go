//go:build !linux

package chaos

import (
	"context"
	"errors"
	"io/fs"
	"syscall"
)

// Isolate does nothing: only Linux has what it needs.
func Isolate(context.Context, []string) (again bool, code int) { return false, 0 }

func (p *place) mount() (why string)              { return "only Linux has mount namespaces" }
func (p *place) unmount()                         {}
func (p *place) readOnly(bool) error              { return errors.ErrUnsupported }
func mayBecomeNobody() bool                       { return false }
func (p *place) attributes() *syscall.SysProcAttr { return &syscall.SysProcAttr{Setpgid: true} }
func allocated(info fs.FileInfo) int64            { return info.Size() }
