// Package workload describes what a load asks for and when: a catalogue of objects, how popular each is (Zipf), their sizes
// and lifetimes, which share of the requests asks for a range or sends a condition, the schedule of an open loop, flash
// crowds and purge storms.
//
// Guarantees: everything follows from the settings and a seed, so the same settings make the same requests; an object needs
// no memory, so a catalogue of a hundred million costs what one of ten costs. There is no I/O and no clock in it.
//
// Refuses: settings that mean nothing; every check names what would be possible.
package workload
