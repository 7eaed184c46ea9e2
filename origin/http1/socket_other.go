//go:build !unix

package http1

import "errors"

// canPeek: nothing is seen of what a server sends unasked.
const canPeek = false

func readFD(uintptr, []byte) (int, error)  { return 0, errors.ErrUnsupported }
func peekFD(uintptr) (int, error)          { return 0, errors.ErrUnsupported }
func writeFD(uintptr, []byte) (int, error) { return 0, errors.ErrUnsupported }
