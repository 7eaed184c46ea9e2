//go:build cgo

package disk

const cgo = true
