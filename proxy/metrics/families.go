package metrics

// kind is the TYPE of a family as the text format spells it.
type kind uint8

const (
	counter kind = iota
	gauge
	histogramKind
	summary
)

func (k kind) String() string {
	switch k {
	case counter:
		return "counter"
	case gauge:
		return "gauge"
	case histogramKind:
		return "histogram"
	case summary:
		return "summary"
	}
	return "untyped"
}

// family is one row of the page's table of contents.
type family struct {
	name string
	kind kind
	help string
}

// Names of the families that more than one line of this package mentions.
const (
	nameRequests      = "weir_requests_total"
	nameDuration      = "weir_request_duration_seconds"
	nameTTFB          = "weir_time_to_first_byte_seconds"
	nameResponseBytes = "weir_response_bytes_total"
	nameOriginReqs    = "weir_origin_requests_total"
	nameOriginTime    = "weir_origin_duration_seconds"
	nameOriginBytes   = "weir_origin_response_bytes_total"
	nameOriginRetries = "weir_origin_retries_total"
	nameOriginWaiting = "weir_origin_waiting"
	nameOriginHedges  = "weir_origin_hedges_total"
	nameServerUp      = "weir_origin_server_up"
	nameServerReqs    = "weir_origin_server_requests_total"
	nameOriginSkew    = "weir_origin_clock_skew_seconds"
	nameOffload       = "weir_origin_offload_ratio"
	nameByteOffload   = "weir_origin_byte_offload_ratio"
	nameCoalesced     = "weir_coalesced_requests_total"
	nameNotCached     = "weir_not_cached_total"
	nameWithheld      = "weir_withheld_fields_total"
	nameShed          = "weir_shed_requests_total"
	nameClockSteps    = "weir_clock_steps_total"
	nameEvictions     = "weir_evictions_total"
	nameCorrupt       = "weir_corrupt_records_total"
	nameTierBytes     = "weir_tier_bytes"
	nameTierObjects   = "weir_tier_objects"
	nameTierCapacity  = "weir_tier_capacity_bytes"
	nameDiskUp        = "weir_disk_up"
	nameDiskState     = "weir_disk_state"
	nameDiskRebuilds  = "weir_disk_rebuilds_total"
	nameDiskFull      = "weir_disk_full_total"
	nameDiskMissing   = "weir_disk_missing_bytes"
	nameEvictedFresh  = "weir_disk_evicted_fresh_total"
	namePolicyBytes   = "weir_disk_policy_bytes"
	nameGuaranteed    = "weir_disk_policy_guaranteed_bytes"
	nameDiskErrors    = "weir_disk_errors_total"
	namePurges        = "weir_purges_total"
	namePurgeTime     = "weir_purge_apply_seconds"
	nameScopes        = "weir_invalidation_scopes"
	namePeerTime      = "weir_purge_peer_apply_seconds"
	namePeerLag       = "weir_peer_lag"
	namePeerUp        = "weir_peer_up"
	nameGate          = "weir_cluster_gate"
	namePeerPending   = "weir_cluster_pending_purges"
	namePeerDropped   = "weir_cluster_dropped_messages_total"
	nameFloor         = "weir_invalidation_floor"
	nameFloorRaised   = "weir_invalidation_floor_raised_total"
	nameUnlogged      = "weir_purges_unlogged"
	namePurgesRefused = "weir_purges_refused_total"
	nameDiskBytes     = "weir_disk_bytes"
	nameDiskTime      = "weir_disk_io_seconds"
	nameDiskWritten   = "weir_disk_written_bytes_total"
	nameReloads       = "weir_config_reloads_total"
	nameReloadOK      = "weir_config_last_reload_success"
	nameConfigTime    = "weir_config_loaded_timestamp_seconds"
	nameResponses     = "weir_responses_total"
	namePolicyReqs    = "weir_policy_requests_total"
	namePolicySent    = "weir_policy_response_bytes_total"
	nameInFlight      = "weir_requests_in_flight"
	nameCut           = "weir_transfers_cut_total"
	nameBuildInfo     = "weir_build_info"
)

// families are all families that may appear on the page. Lines of any other
// family are dropped: the library's process page holds some whose names or
// types the format's linter rejects.
var families = []family{
	{nameRequests, counter, "Client requests answered, by what the cache decided and the tier that delivered the body."},
	{nameDuration, histogramKind, "Time from the first byte of a request to the last byte of its response, by tier."},
	{nameTTFB, histogramKind, "Time from the first byte of a request to the first byte of its response, by tier."},
	{nameResponseBytes, counter, "Body bytes sent to clients, by tier."},
	{nameResponses, counter, "Final responses to clients, by policy and class of status."},
	{namePolicyReqs, counter, "Client requests answered, by policy and by what the cache decided."},
	{namePolicySent, counter, "Body bytes sent to clients, by policy and by the tier that delivered the body."},
	{nameOriginReqs, counter, "Requests sent to origins, retries and background refreshes included, by outcome."},
	{nameOriginTime, histogramKind, "Time from sending a request to an origin until its response ended or failed."},
	{nameOriginBytes, counter, "Body bytes received from origins."},
	{nameOriginRetries, counter, "Requests sent to origins once more after a failure or a long wait, by reason."},
	{nameOriginHedges, counter, "Requests sent to a second server because the first took long, by whether the second answered first."},
	{nameOriginWaiting, gauge, "Requests that wait for a connection to an origin, since max_connections are in use."},
	{nameServerUp, gauge, "1 while a server gets requests, or is a backup that would; 0 while it is ejected, probed or down."},
	{nameServerReqs, counter, "Requests sent to a server, retries, hedges and probes included, by outcome."},
	{nameOriginSkew, gauge, "By how much the Date of the origin's last response was off when it came; negative: behind."},
	{nameOffload, gauge, "One minus origin requests per client request over the last 5 minutes; 0 without client requests, negative when origins get more than clients send."},
	{nameByteOffload, gauge, "One minus origin body bytes per client body byte over the last 5 minutes; 0 without client bytes, negative when more is fetched than delivered."},
	{nameCoalesced, counter, "Client requests that waited for a fetch which another request had started; those that went alone in the end included."},
	{nameNotCached, counter, "Responses that were not stored, by reason."},
	{nameWithheld, counter, "Request fields that were not sent on to an origin, by reason."},
	{nameShed, counter, "Client requests that were turned away from an origin and answered by something stale or 503, by reason."},
	{nameClockSteps, counter, "Steps of this machine's clock of half a second and more, sleep included, by direction."},
	{nameEvictions, counter, "Objects evicted, by tier and reason; fresh: evicted before they were stale."},
	{nameCorrupt, counter, "Stored records that failed their check and were dropped, by tier."},
	{nameTierBytes, gauge, "Bytes that a tier holds."},
	{nameTierObjects, gauge, "Objects that a tier holds."},
	{nameTierCapacity, gauge, "Bytes that a tier may hold."},
	{nameInFlight, gauge, "Client requests received and not yet answered to the end."},
	{nameReloads, counter, "Configuration reloads since start, by outcome."},
	{nameReloadOK, gauge, "1 when the last load of the configuration succeeded, 0 when it had faults and the old one was kept."},
	{nameConfigTime, gauge, "Unix time at which the configuration in effect was loaded."},
	{nameBuildInfo, gauge, "Always 1; the version and the Go release are in the labels."},

	{SourceClientConnections.String(), gauge, "Open client connections."},
	{SourceRefusedConnections.String(), counter, "Client connections refused because as many were open as may be."},
	{SourceFlights.String(), gauge, "Fetches from origins that are under way."},
	{SourceInFlightBytes.String(), gauge, "Bytes of bodies in memory that are on their way, as far as limits.memory_in_flight counts them."},
	{SourceSpoolBytes.String(), gauge, "Bytes of bodies in the spool, in whole blocks."},
	{nameCut, counter, "Transfers ended for the sake of others, by reason: memory (no room in memory and spool), permits (the slowest of those that keep an origin busy), rate (below limits.min_rate)."},
	{SourceWaiting.String(), gauge, "Client requests that wait for origins."},
	{SourceShedding.String(), gauge, "Share of the requests to origins that are turned away because of overload, from 0 to 1."},
	{"weir_ready", gauge, "1 while /readyz answers 200."},
	{nameDiskState, gauge, "1 for the state that the disk tier is in: opening, open, off, read-only or rebuilding; absent when none is configured."},
	{nameDiskUp, gauge, "1 while the disk tier is in use, 0 when it was switched off after a fault; absent when none is configured."},
	{nameDiskRebuilds, counter, "Rebuilds of the disk tier's index from its segments, after damage."},
	{nameDiskFull, counter, "Objects not stored on disk because eviction had not made room yet."},
	{nameDiskMissing, gauge, "Size of the objects that the disk tier evicted while they were fresh and that would be fresh still: so much is it too small for what the policies promise."},
	{namePolicyBytes, gauge, "Bytes that a policy's objects take on disk, by policy."},
	{nameGuaranteed, gauge, "Bytes on disk that other policies cannot push out, by policy."},
	{nameEvictedFresh, counter, "Objects that the disk tier evicted before they were stale, by policy."},
	{nameDiskErrors, counter, "Reads from segments that the device failed, and faults of writing that switched the disk tier off, and what it did not answer in time, by operation."},
	{nameDiskWritten, counter, "Bytes written by the disk tier, by kind; again: objects kept because they were hit, or promised to stay, when their segment was evicted."},
	{namePurges, counter, "Scopes of purges that took effect on this node, by kind."},
	{namePurgeTime, histogramKind, "Time from a purge's arrival at this node until it was in the log and in effect here."},
	{namePeerTime, histogramKind, "Time from a purge's arrival at this node until a peer said that it is in effect there; of purges with wait: all."},
	{namePeerLag, gauge, "Purges in effect here that a peer has not said to have applied, by peer."},
	{namePeerUp, gauge, "1 while a peer answers, by peer."},
	{nameGate, gauge, "1 for the state that the gate is in: open, or why what is stored is not used without asking the origin."},
	{namePeerPending, gauge, "Purges received from peers that are not in effect here yet."},
	{namePeerDropped, counter, "Messages of peers that were dropped: malformed, or not signed with this cluster's name and secret (foreign)."},
	{nameFloor, gauge, "What was fetched before so many purges were applied is invalid; 0 while all scopes are in memory."},
	{nameScopes, gauge, "Distinct scopes of purges that are kept in memory."},
	{nameUnlogged, gauge, "Purges that are in effect and could not be written to the log yet."},
	{namePurgesRefused, counter, "Purges that were refused because their token had purged too much that was new."},
	{nameFloorRaised, counter, "Times that there were too many scopes, so that whatever was older than half of them became invalid."},
	{nameDiskBytes, gauge, "What the disk tier's bytes are: objects that can be found (live), replaced, deleted and given up ones (dead), the index."},
	{nameDiskTime, histogramKind, "Time that a read from a segment, or a write to one, took."},
	{SourceAccessLogDropped.String(), counter, "Access log lines lost because the log could not keep up or a write failed."},
	{SourceAccessLogErrors.String(), counter, "Writes to the access log that failed."},

	{"go_gc_duration_seconds", summary, "Pauses of the garbage collector, the last 256."},
	{"go_gc_cpu_seconds_total", counter, "CPU time spent on garbage collection."},
	{"go_gc_mark_assist_cpu_seconds_total", counter, "CPU time that goroutines spent helping the garbage collector."},
	{"go_scavenge_cpu_seconds_total", counter, "CPU time spent on returning memory to the operating system."},
	{"go_mutex_wait_seconds_total", counter, "Time that goroutines spent blocked on locks."},
	{"go_gomaxprocs", gauge, "Threads that may run Go code at once."},
	{"go_goroutines", gauge, "Goroutines."},
	{"go_threads", gauge, "Threads created by the Go runtime."},
	{"go_info", gauge, "Always 1; the Go release is in the label."},
	{"go_memlimit_bytes", gauge, "The soft memory limit of the Go runtime."},
	{"go_memstats_alloc_bytes_total", counter, "Bytes allocated on the heap since start."},
	{"go_memstats_mallocs_total", counter, "Heap objects allocated since start."},
	{"go_memstats_frees_total", counter, "Heap objects freed since start."},
	{"go_memstats_heap_alloc_bytes", gauge, "Bytes of heap objects, garbage not yet swept included."},
	{"go_memstats_heap_idle_bytes", gauge, "Bytes in heap spans without objects."},
	{"go_memstats_heap_inuse_bytes", gauge, "Bytes in heap spans with objects."},
	{"go_memstats_heap_objects", gauge, "Objects on the heap."},
	{"go_memstats_heap_released_bytes", gauge, "Bytes of the heap returned to the operating system."},
	{"go_memstats_heap_sys_bytes", gauge, "Bytes of address space held for the heap."},
	{"go_memstats_next_gc_bytes", gauge, "Heap size at which the next garbage collection starts."},
	{"go_memstats_last_gc_time_seconds", gauge, "Unix time of the last garbage collection."},
	{"go_memstats_stack_inuse_bytes", gauge, "Bytes in stacks."},
	{"go_memstats_sys_bytes", gauge, "Bytes that the Go runtime obtained from the operating system."},
	{"process_cpu_seconds_total", counter, "CPU time of the process, user and system."},
	{"process_cpu_seconds_user_total", counter, "CPU time of the process in user mode."},
	{"process_cpu_seconds_system_total", counter, "CPU time of the process in the kernel."},
	{"process_major_pagefaults_total", counter, "Page faults that had to read from disk."},
	{"process_minor_pagefaults_total", counter, "Page faults answered from memory."},
	{"process_num_threads", gauge, "Threads of the process."},
	{"process_open_fds", gauge, "Open file descriptors."},
	{"process_max_fds", gauge, "The limit on open file descriptors."},
	{"process_start_time_seconds", gauge, "Unix time at which the process started."},
	{"process_resident_memory_bytes", gauge, "Resident memory."},
	{"process_resident_memory_peak_bytes", gauge, "The highest resident memory so far."},
	{"process_resident_memory_anon_bytes", gauge, "Resident memory that is not backed by files."},
	{"process_resident_memory_file_bytes", gauge, "Resident memory backed by files."},
	{"process_resident_memory_shared_bytes", gauge, "Resident shared memory."},
	{"process_virtual_memory_bytes", gauge, "Virtual memory."},
	{"process_virtual_memory_peak_bytes", gauge, "The highest virtual memory so far."},
	{"process_io_read_bytes_total", counter, "Bytes read through system calls, sockets included."},
	{"process_io_written_bytes_total", counter, "Bytes written through system calls, sockets included."},
	{"process_io_read_syscalls_total", counter, "Read system calls."},
	{"process_io_write_syscalls_total", counter, "Write system calls."},
	{"process_io_storage_read_bytes_total", counter, "Bytes fetched from storage."},
	{"process_io_storage_written_bytes_total", counter, "Bytes sent to storage."},
	{"process_pressure_cpu_waiting_seconds_total", counter, "Time in which some thread of the control group waited for CPU."},
	{"process_pressure_cpu_stalled_seconds_total", counter, "Time in which every thread of the control group waited for CPU."},
	{"process_pressure_io_waiting_seconds_total", counter, "Time in which some thread of the control group waited for I/O."},
	{"process_pressure_io_stalled_seconds_total", counter, "Time in which every thread of the control group waited for I/O."},
	{"process_pressure_memory_waiting_seconds_total", counter, "Time in which some thread of the control group waited for memory."},
	{"process_pressure_memory_stalled_seconds_total", counter, "Time in which every thread of the control group waited for memory."},
}
