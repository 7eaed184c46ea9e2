package model

import (
	"testing"
)

func startWith(tb testing.TB, c *clock, o *scriptedOrigin, s *shim) *machine {
	if s == nil {
		s = &shim{}
	}
	m := start(tb, c, o)
	return m
}

func (m *machine) ask(tb testing.TB, o *scriptedOrigin, q Request, s *shim) answer {
	return m.do(tb, q)
}
