package load

import (
	"strconv"

	"weir/loadtest/selfcheck"
)

// maxOwners bounds how many objects are tried, the most popular first.
const maxOwners = 200_000

// owner finds the object to which the beginning of a body belongs, in the version that the answer named.
func owner(o *Options, ex *Example) string {
	var name []byte
	for id := range min(o.Mix.Objects(), maxOwners) {
		name = o.Mix.Catalogue.AppendTarget(name[:0], id, o.Mix.Catalogue.Object(id))
		for _, version := range []uint64{ex.version, 0} {
			if selfcheck.Mismatch(ex.start[:], selfcheck.SeedOfBytes(name, version), 0) < 0 {
				return string(name) + ", version " + strconv.FormatUint(version, 10)
			}
		}
	}
	return ""
}
