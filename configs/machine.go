package configs

// Machine is what the tiers have to fit into.
type Machine struct {
	// Memory is how much memory the process can have, in bytes; 0 is unknown.
	// MemoryOf says what limits it, such as "this machine".
	Memory   int64
	MemoryOf string
	// Space looks at the file system that holds a directory, or would hold it once
	// it is made.
	Space func(dir string) (Space, error)
}

// Space is the room on a file system, in bytes.
type Space struct {
	Total, Free int64
	// Used is what the directory holds already.
	Used int64
}

// MaxRAMShare is the part of the memory, in percent, that the RAM tier should
// leave room beside: connections, the disk tier's index and the reserve of the
// garbage collector take the rest.
const MaxRAMShare = 70

// CheckMachine warns of tiers that the machine has no room for. A Config from
// Parse or Load has the places that the warnings name.
func CheckMachine(cfg *Config, m Machine) Faults {
	d := &decoder{file: cfg.file}
	at := func(v value) value {
		v.d = d
		return v
	}
	if ram := cfg.Tiers.RAM.Size; m.Memory > 0 && ram > m.Memory/100*MaxRAMShare {
		most := m.Memory / 100 * MaxRAMShare / MiB * MiB
		what := "more than 70 % of"
		if ram > m.Memory {
			what = "more than"
		}
		at(cfg.ramSize).advise("at most 70 % of it, "+formatRoughly(most), "%s is %s the memory of %s, %s",
			formatSize(ram), what, m.MemoryOf, formatRoughly(m.Memory))
	}
	disk := cfg.Tiers.Disk
	if disk == nil || m.Space == nil {
		return d.warnings.Sorted()
	}
	space, err := m.Space(disk.Path)
	switch {
	case err != nil:
		// Whether the directory can be used at all is CheckFiles' question.
	case disk.Size > space.Total:
		at(cfg.diskSize).advise("less than that", "%s is more than the whole file system of %s, %s",
			formatSize(disk.Size), quote(disk.Path), formatRoughly(space.Total))
	case disk.Size > space.Free+space.Used:
		at(cfg.diskSize).advise("at most "+formatRoughly(space.Free+space.Used), "%s is more than the file system of %s has: %s free, and %s in the tier already",
			formatSize(disk.Size), quote(disk.Path), formatRoughly(space.Free), formatRoughly(space.Used))
	}
	return d.warnings.Sorted()
}
